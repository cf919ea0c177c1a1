"""Which connections move: tables, and what must hold for any loads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compartments.load.spread import EVEN, PAIRS_MAX, UNEVEN, Share, spread
from havok.settings import Watermarks

MARKS = Watermarks(low=0.35, high=0.75)


def shares(*found: tuple[float, int]) -> list[Share]:
    return [Share(f"w{number}", load, connections) for number, (load, connections) in enumerate(found)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0.8, 20), (0.0, 0)], [("w0", "w1", 10)]),
        ([(0.8, 20), (0.4, 20)], [("w0", "w1", 5)]),
        ([(0.5, 20), (0.45, 20)], []),  # even
        ([(0.3, 20), (0.0, 0)], []),  # nobody waits
        ([(0.9, 1), (0.1, 5)], []),  # cannot be split
        ([(0.9, 0), (0.1, 5)], []),  # nor this
        ([(0.8, 20), (0.8, 20), (0.8, 20), (0.0, 0)], [("w0", "w3", 5), ("w1", "w3", 5), ("w2", "w3", 5)]),
        ([(0.9, 1), (0.9, 10), (0.0, 0)], [("w1", "w2", 3)]),  # the one is as hot, but cannot help
        ([(0.8, 20)] * 6 + [(0.0, 0)], [(f"w{n}", "w6", 2) for n in range(6)]),  # 1.17 × the mean, but waiting
        ([(0.9, 20)], []),
        ([], []),
    ],
)
def test_what_moves(found: list[tuple[float, int]], expected: list[tuple[str, str, int]]) -> None:
    moved = [(shift.source.worker, shift.target.worker, shift.count) for shift in spread(shares(*found), MARKS)]
    assert moved == expected


WORKERS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 500)), max_size=12)


@given(WORKERS)
def test_nobody_crosses_the_mean_and_nobody_gives_what_he_lacks(found: list[tuple[float, int]]) -> None:
    before = shares(*found)
    shifts = spread(before, MARKS)
    assert len(shifts) <= PAIRS_MAX
    loads = {share.worker: share.load for share in before}
    counts = {share.worker: share.connections for share in before}
    mean = sum(loads.values()) / len(loads) if loads else 0.0
    for shift in shifts:
        assert shift.count >= 1
        assert shift.source.worker != shift.target.worker
        moved = loads[shift.source.worker] / counts[shift.source.worker] * shift.count
        counts[shift.source.worker] -= shift.count
        counts[shift.target.worker] += shift.count
        loads[shift.source.worker] -= moved
        loads[shift.target.worker] += moved
        assert loads[shift.source.worker] >= mean - 1e-6
        assert loads[shift.target.worker] <= mean + 1e-6
        assert counts[shift.source.worker] >= 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_with_many_connections_the_result_is_even(loads: list[float]) -> None:
    shifts = spread(shares(*((load, 10_000) for load in loads)), MARKS)
    after = {f"w{number}": load for number, load in enumerate(loads)}
    for shift in shifts:
        moved = shift.source.load / shift.source.connections * shift.count
        after[shift.source.worker] -= moved
        after[shift.target.worker] += moved
    mean = sum(loads) / len(loads)
    assert max(after.values()) <= max(UNEVEN * mean, MARKS.low) + 0.001
    if shifts:
        assert max(after.values()) <= max(EVEN * mean, MARKS.low) + 0.001
