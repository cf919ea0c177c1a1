"""Levels: smoothing, dwell, hysteresis, changed marks."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compartments.load.watermarks import (
    BUSY_WITNESS,
    DELAY_FULL_US,
    DWELL_NS,
    SMOOTH_NS,
    Level,
    Smoothed,
    Standing,
    level_at,
    load_of,
    observe,
    smooth,
)
from havok.settings import Watermarks

MARKS = Watermarks(low=0.35, high=0.75)
TICK = 100_000_000
LOADS = st.floats(0, 1)


def after(
    standing: Standing | None, load: float, seconds: float, marks: Watermarks = MARKS, start: int = 0
) -> Standing:
    """Samples of a load, each tick for so long."""
    now = standing.smoothed.at_ns if standing is not None else start
    for _ in range(max(1, round(seconds * 10))):
        now += TICK
        standing = observe(marks, standing, load, now)
    assert standing is not None
    return standing


@pytest.mark.parametrize(
    ("level", "load", "expected"),
    [
        ("between", 0.76, "high"),
        ("between", 0.75, "between"),
        ("high", 0.72, "high"),
        ("high", 0.70, "between"),
        ("between", 0.35, "between"),
        ("between", 0.34, "calm"),
        ("calm", 0.38, "calm"),
        ("calm", 0.40, "between"),
        ("calm", 0.8, "high"),
        ("high", 0.1, "calm"),
    ],
)
def test_where_a_load_stands_depends_on_where_it_comes_from(level: Level, load: float, expected: Level) -> None:
    assert level_at(MARKS, level, load) == expected


@pytest.mark.parametrize(
    ("busy", "delay_us", "expected"),
    [
        (0.5, 0, 0.5),
        (0.5, DELAY_FULL_US / 4, 0.5),
        (0.5, DELAY_FULL_US * 0.8, 0.8),
        (0.5, DELAY_FULL_US * 80, 1.0),
        (1.3, 0, 1.0),
        (BUSY_WITNESS / 2, DELAY_FULL_US, BUSY_WITNESS / 2),
        (-0.1, 0, 0.0),
    ],
)
def test_a_load_has_two_witnesses(busy: float, delay_us: float, expected: float) -> None:
    assert load_of(busy, delay_us) == pytest.approx(expected)


def test_a_step_is_high_within_a_second_and_not_at_once() -> None:
    assert after(None, 0.2, 3).level == "calm"
    standing = after(None, 0.2, 3)
    now = standing.smoothed.at_ns
    high = now
    while standing.level != "high":
        high += TICK
        standing = observe(MARKS, standing, 1.0, high)
    print(f"high {(high - now) / 1e9:.1f} s after the step")
    assert DWELL_NS["high"] <= high - now <= 1_000_000_000


def test_a_spike_of_one_sample_is_no_level() -> None:
    standing = after(None, 0.5, 3)
    standing = after(standing, 1.0, 0.1)
    assert after(standing, 0.5, 5).since_ns == standing.since_ns


def test_waves_shorter_than_the_smoothing_are_no_level() -> None:
    standing = after(None, 0.55, 3)
    for _ in range(30):
        standing = after(after(standing, 0.8, 0.4), 0.3, 0.4)
        assert standing.level == "between"
    assert standing.since_ns < TICK * 31


def test_calm_takes_longer_than_high() -> None:
    standing = after(after(None, 0.9, 1), 0.1, 2)
    assert standing.level == "between"
    assert after(standing, 0.1, 1).level == "calm"


def test_a_break_starts_the_dwell_anew() -> None:
    standing = after(after(None, 0.5, 1), 0.1, 2)
    assert standing.due == "calm"
    standing = after(after(standing, 0.9, 0.4), 0.1, 1.5)
    assert standing.level == "between"


def test_changed_marks_are_effective_with_the_next_sample() -> None:
    standing = after(None, 0.5, 3)
    tighter = after(standing, 0.5, 0.1, Watermarks(low=0.1, high=0.4))
    assert (standing.level, tighter.level) == ("between", "high")
    assert tighter.since_ns == standing.smoothed.at_ns + TICK
    assert after(tighter, 0.5, 0.1, Watermarks(low=0.6, high=0.9)).level == "calm"
    same = after(standing, 0.5, 0.1, Watermarks(low=0.34, high=0.75))
    assert (same.level, same.since_ns) == ("between", standing.since_ns)


@given(LOADS, LOADS, st.integers(1, 10**10), st.integers(1, 10**10))
def test_two_short_times_weigh_what_a_long_one_does(before: float, load: float, first: int, second: int) -> None:
    start = Smoothed(before, 0)
    once = smooth(start, load, first + second)
    twice = smooth(smooth(start, load, first), load, first + second)
    assert once.load == pytest.approx(twice.load)
    assert once.load - load == pytest.approx((before - load) * exp(-(first + second) / SMOOTH_NS))


@given(LOADS, LOADS, st.integers(0, 10**12), st.integers(-(10**12), 0))
def test_a_sample_that_is_not_later_changes_no_load(before: float, load: float, at: int, passed: int) -> None:
    assert smooth(Smoothed(before, at), load, at + passed) == Smoothed(before, at)


@given(st.lists(st.tuples(LOADS, st.integers(-(10**9), 10**10)), max_size=60), LOADS, st.integers(-(10**15), 10**15))
def test_only_differences_of_time_matter(samples: list[tuple[float, int]], first: float, shift: int) -> None:
    one = observe(MARKS, None, first, 0)
    other = observe(MARKS, None, first, shift)
    now = 0
    for load, passed in samples:
        now += passed
        one = observe(MARKS, one, load, now)
        other = observe(MARKS, other, load, now + shift)
        assert (one.level, one.load, one.due) == (other.level, other.load, other.due)
        assert other.since_ns - one.since_ns == shift
        assert 0 <= one.load <= 1


@given(LOADS.filter(lambda load: abs(load - 0.75) > 0.001 and abs(load - 0.35) > 0.001), LOADS)
def test_a_steady_load_changes_its_level_at_most_twice(load: float, first: float) -> None:
    standing = observe(MARKS, None, first, 0)
    levels = [standing.level]
    for _ in range(100):
        standing = after(standing, load, 0.1)
        if standing.level != levels[-1]:
            levels.append(standing.level)
    assert len(levels) <= 3
