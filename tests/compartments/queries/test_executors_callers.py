"""Callers of analytical services who go away, and those who stay: over TCP, with real executors."""

import socket
from collections.abc import Iterator

import pytest

from tests.compartments.calling import Caller, Calling, calling
from tests.compartments.querying import HUGE, SLOW, make_data
from tests.engine.twinning import Twinned

SERVICES = {
    "slow": SLOW,
    "huge": HUGE,
    "count": "SELECT count(*) AS n FROM big",
    "one": "SELECT 1 AS one FROM big LIMIT 1",
}
COUNTED = b'{"data":[{"n":20000}]}'
GOING = ("closes", "resets", "ends his side", "ends his side with more requests sent")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Twinned:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def worker(data: Twinned) -> Iterator[Calling]:
    with calling(data, SERVICES, memory_mb=128, queue_max=2) as made:
        yield made


def go(caller: Caller, how: str) -> None:
    if how == "closes":
        caller.socket.close()
    elif how == "resets":
        caller.reset()
    else:
        if "more" in how:
            caller.call("count", "count")
        caller.socket.shutdown(socket.SHUT_WR)


def runs(worker: Calling, service: str) -> None:
    worker.drive.until(
        lambda: any(gauge.state == "busy" and gauge.service == service for gauge in worker.executors.gauges),
        what=f"{service} runs",
    )


@pytest.mark.parametrize("how", GOING)
def test_a_query_whose_caller_is_gone_is_interrupted(worker: Calling, how: str) -> None:
    gone, other = worker.caller(), worker.caller()
    gone.call("slow")
    runs(worker, "slow")
    (pid,) = worker.executors.pids
    other.call("count")
    go(gone, how)
    other.receive(COUNTED)
    assert worker.executors.pids == [pid]
    assert gone.connection.closed
    assert worker.executors.tally.counts["abandoned"] == 1
    assert worker.server._answers.unfinished == 0
    assert worker.leases("big") == 1 + len(SERVICES), "the routes' and our own"


@pytest.mark.parametrize("how", GOING)
def test_a_query_whose_caller_is_gone_leaves_the_queue(worker: Calling, how: str) -> None:
    running, gone, other, late = (worker.caller() for _ in range(4))
    running.call("slow")
    runs(worker, "slow")
    gone.call("count")
    other.call("count")
    worker.drive.until(lambda: worker.executors.queued == 2, what="the queue is full")
    go(gone, how)
    worker.drive.until(lambda: worker.executors.queued == 1, what="there is room again")
    late.call("count")
    worker.drive.until(lambda: worker.executors.queued == 2, what="and somebody else takes it")
    running.socket.close()
    for caller in (other, late):
        caller.receive(COUNTED)


def test_who_ends_his_side_with_his_request_is_gone_too(worker: Calling) -> None:
    gone, other = worker.caller(), worker.caller()
    gone.call("slow")
    gone.socket.shutdown(socket.SHUT_WR)
    worker.drive.until(lambda: gone.connection.closed, what="it is noticed")
    other.call("count")
    other.receive(COUNTED)


def test_a_slow_caller_is_cut_off_and_holds_nobody_up(data: Twinned, monkeypatch: pytest.MonkeyPatch) -> None:
    """He takes some now and then, as much as the connection's own bound asks of him, and never catches up."""
    monkeypatch.setattr("compartments.queries.executors.READER_S_MIN", 0.5)
    with calling(data, SERVICES, memory_mb=128, timeout_s=0.5) as worker:
        slow, other = worker.caller(), worker.caller()
        slow.call("huge")
        slow.receive(b"Transfer-Encoding: chunked")
        (pid,) = worker.executors.pids
        other.call("count")
        other.receive(COUNTED)
        assert not slow.connection.closed, "what was sent is his to read"
        worker.drive.until(slow.ended, 20, "he reads it, and then the end")
        assert not slow.received.endswith(b"0\r\n\r\n"), "and is not told that it was all"
        assert worker.server.problems.counts["slow_reader"] == 1
        assert worker.executors.pids == [pid]


def test_a_caller_who_goes_in_the_middle_of_an_answer(worker: Calling) -> None:
    gone, other = worker.caller(), worker.caller()
    gone.call("huge")
    gone.receive(b"Transfer-Encoding: chunked")
    (pid,) = worker.executors.pids
    gone.socket.close()
    other.call("count")
    other.receive(COUNTED)
    assert worker.executors.pids == [pid]


def test_what_comes_behind_a_query_is_not_lost(worker: Calling) -> None:
    """Sent with it, or while it waits: all of it is answered, in order."""
    running, caller = worker.caller(), worker.caller()
    running.call("slow")
    runs(worker, "slow")
    caller.call("count", "one")
    worker.drive.until(lambda: worker.executors.queued == 1, what="it waits")
    caller.call("missing", "huge")
    worker.drive.turn()
    assert not caller.connection.closed
    running.socket.close()
    caller.receive(b"Transfer-Encoding: chunked")
    parts = (COUNTED, b'{"data":[{"one":1}]}', b"no_service", b"Transfer-Encoding")
    places = [caller.received.index(part) for part in parts]
    assert places == sorted(places)
