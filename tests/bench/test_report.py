"""Figures and bars from rounds that are known."""

import pytest

from bench.bars import Bar, judge
from bench.report import Round, Row, Skipped, end_if_failed, figures, over
from bench.wrk import Observed


def row(name: str, *cpu_us: float, items: int = 1) -> Row:
    """Rounds of a thousand requests in a second."""
    rounds = (
        Round(Observed(requests=1000, seconds=1, p50_us=1, p99_us=2, failed=0, client_busy=0.1), each / 1e3)
        for each in cpu_us
    )
    return Row(name, "wrk", items, "", tuple(rounds))


def test_ratios_are_taken_within_rounds() -> None:
    """The machine is twice as slow in the second round and nothing else changes."""
    assert over(row("mine", 10, 20, 10), row("other", 5, 10, 5)) == pytest.approx(2)


def test_no_ratio_without_the_other() -> None:
    assert over(row("mine", 10), None) is None
    assert over(row("mine", 10), row("other", 0)) is None


def test_figures_are_medians_and_items_count_per_second_of_cpu() -> None:
    found = figures(row("batch", 100, 300, 200, items=100), None)
    assert found.cpu_us == pytest.approx(200)
    assert found.items_rate == pytest.approx(100 * 1e6 / 200)
    assert found.rate == pytest.approx(1000)


@pytest.mark.parametrize(
    ("bar", "figure", "passed", "aimed"),
    [
        (Bar("m", "×", 1.4, 1.2), 1.2, True, True),
        (Bar("m", "×", 1.4, 1.2), 1.3, True, False),
        (Bar("m", "×", 1.4, 1.2), 1.41, False, False),
        (Bar("m", "keys/s", 500, 900, least=True), 500, True, False),
        (Bar("m", "keys/s", 500, 900, least=True), 499, False, False),
        (Bar("m", "ms", None, 1), 2, True, False),
        (Bar("m", "×", 1.4, 1.2), None, False, False),
    ],
)
def test_bars(bar: Bar, figure: float | None, passed: bool, aimed: bool) -> None:
    verdict = judge(bar, figure)
    assert (verdict.passed, verdict.aimed) == (passed, aimed)


def test_a_missing_peer_is_no_failure_but_a_havok_that_does_not_run_is() -> None:
    missing = Skipped("roapi", "not installed")
    end_if_failed([missing])
    with pytest.raises(SystemExit, match="1"):
        end_if_failed([missing, Skipped("swap", "the load was refused", failed=True)])
