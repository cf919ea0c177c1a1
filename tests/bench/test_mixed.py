"""The mixed benchmark's arithmetic, without its nodes."""

import msgspec
import pytest

from bench.mixed import FORWARDED, HANDED, PEERS, STAYS, Waits, differences, verdicts
from tests.bench.test_report import row


def test_nothing_measured_is_no_pass_and_no_crash() -> None:
    assert all(verdict.figure is None for verdict in verdicts([], []))


def test_a_hand_off_is_what_comes_on_top_of_a_request_that_stays() -> None:
    """Each request of the one took its connection along; of the other every second one was forwarded."""
    rows = [row(STAYS, 8, 9), row(FORWARDED, 20, 21), row(HANDED, 50, 51)]
    handed, forwarded = differences(rows)
    assert (handed, forwarded) == (pytest.approx(42), pytest.approx(24))


def test_what_counts_of_the_waits_is_the_usual_node() -> None:
    usual = Waits(PEERS[0].name, 100, 80, 3400, 5000, 200_000, 0)
    other = msgspec.structs.replace(usual, name=PEERS[1].name, p99_us=380_000)
    (waited,) = [verdict.figure for verdict in verdicts([], [other, usual]) if verdict.figure is not None]
    assert waited == pytest.approx(3.4)
