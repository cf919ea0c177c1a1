"""What became of queries: counted, and said once a second at most."""

import pytest

from compartments.queries.tally import SAY_AGAIN_S, Tally
from havok.errors import OutOfMemory, QueryFailed, QueryTimeout, SlowReader, StoreDown


def test_each_end_is_counted_as_what_it_is() -> None:
    tally = Tally()
    for error in (None, None, QueryFailed("x"), StoreDown("x"), QueryTimeout("x"), OutOfMemory("x"), SlowReader("x")):
        tally.note("q", error, 0.0)
    tally.note("q", QueryTimeout("x"), 0.0, abandoned=True)
    tally.crash("q", "gone", 0.0)
    assert tally.counts == {
        "answered": 2, "failed": 2, "timeouts": 1, "out_of_memory": 1, "slow_readers": 1, "abandoned": 1, "crashes": 1,
    }  # fmt: skip


def test_a_limit_is_said_with_its_service_and_not_too_often(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally()
    for now_s in (0.0, SAY_AGAIN_S / 2, SAY_AGAIN_S, SAY_AGAIN_S * 1.5):
        tally.note("count", QueryTimeout("longer than 30 s (executors.timeout_s)"), now_s)
    tally.note("count", OutOfMemory("more than 512 MB"), SAY_AGAIN_S)
    tally.note("other", OutOfMemory("more than 64 MB"), SAY_AGAIN_S)
    tally.note("count", QueryFailed("the caller's"), SAY_AGAIN_S)
    assert caplog.messages == [
        "service count: longer than 30 s (executors.timeout_s)",
        "service count: longer than 30 s (executors.timeout_s)",
        "service count: more than 512 MB",
        "service other: more than 64 MB",
    ]
