"""Executors as a worker has them: answers, limits, deaths and ends, with real processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import psutil
import pytest

from compartments.queries.remote_answer import UNREAD_BYTES_MAX
from havok.errors import Draining, HavokError, Overloaded, QueryFailed, QueryTimeout, SlowReader, StoreDown
from tests.compartments.querying import HUGE, SLOW, Querying, make_data, querying
from tests.engine.twinning import Twinned

COUNT = "SELECT count(*) AS n FROM big"
COUNTED = b'{"data":[{"n":20000}]}'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Twinned:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def one(data: Twinned) -> Iterator[Querying]:
    with querying(data, memory_mb=256, queue_max=2, timeout_s=20) as made:
        yield made


def test_an_answer_comes_in_pieces_and_wakes(one: Querying) -> None:
    answer, woken = one.ask("SELECT id, s FROM big ORDER BY id"), []
    answer.wake = lambda: woken.append(answer.waiting)
    assert answer.waiting
    assert answer.step(0) == b""
    rows = msgspec.json.decode(one.body(answer))["data"]
    assert [row["id"] for row in rows] == list(range(20_000))
    assert woken
    assert not any(woken)
    assert answer.done


def test_one_process_answers_one_after_another(one: Querying) -> None:
    assert one.executors.pids == []
    answers = [one.ask(COUNT) for _ in range(3)]
    assert [one.body(answer) for answer in answers] == [COUNTED] * 3
    assert len(one.executors.pids) == 1


def test_processes_grow_with_the_queue(data: Twinned) -> None:
    with querying(data, processes_max=2, memory_mb=128) as made:
        answers = [made.ask(SLOW), made.ask(COUNT), made.ask(COUNT)]
        assert [made.body(answer) for answer in answers[1:]] == [COUNTED] * 2
        assert len(made.executors.pids) == 2
        answers[0].close()


def test_errors_are_themselves_again(one: Querying) -> None:
    with pytest.raises(QueryFailed, match="division by zero"):
        one.body(one.ask("SELECT id // :n::BIGINT AS x FROM big", n=0))
    assert one.body(one.ask(COUNT)) == COUNTED


def test_a_full_queue_is_refused(one: Querying) -> None:
    answers = [one.ask(SLOW)]
    one.drive.until(lambda: one.executors.queued == 0, what="it runs")
    answers += [one.ask(COUNT), one.ask(COUNT)]
    with pytest.raises(Overloaded) as caught:
        one.ask(COUNT)
    assert caught.value.retry_after_s == 1
    answers[1].close()
    answers[1] = one.ask(COUNT)
    answers[0].close()
    assert [one.body(answer) for answer in answers[1:]] == [COUNTED] * 2


def test_what_is_given_up_ends_and_the_process_stays(one: Querying) -> None:
    answer = one.ask(HUGE)
    one.first(answer)
    (pid,) = one.executors.pids
    answer.close()
    slow = one.ask(SLOW)
    one.drive.until(lambda: one.executors.queued == 0, what="it runs")
    slow.close()
    assert one.body(one.ask(COUNT)) == COUNTED
    assert one.executors.pids == [pid]


def test_a_query_ends_with_its_time(data: Twinned) -> None:
    with querying(data, timeout_s=0.3, memory_mb=128) as made:
        assert made.body(made.ask(COUNT)) == COUNTED
        (pid,) = made.executors.pids
        began = monotonic()
        with pytest.raises(QueryTimeout) as caught:
            made.body(made.ask(SLOW))
        assert monotonic() - began < 2
        assert caught.value.status == 504
        assert made.body(made.ask(COUNT)) == COUNTED
        assert made.executors.pids == [pid]


def test_a_slow_reader_loses_his_answer_and_nobody_else_anything(
    data: Twinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compartments.queries.executors.READER_S_MIN", 0.3)
    with querying(data, timeout_s=0.3, memory_mb=128) as made:
        assert made.body(made.ask(COUNT)) == COUNTED
        (pid,) = made.executors.pids
        for lost in range(1, 4):
            answer = made.ask(HUGE)
            behind = made.ask(COUNT)
            assert made.body(behind) == COUNTED
            with pytest.raises(SlowReader):
                answer.step(0)
            answer.close()
            assert made.executors.tally.counts["slow_readers"] == lost
        assert made.executors.pids == [pid], "it survives"
        assert made.executors.tally.counts["crashes"] == 0


def test_what_a_caller_takes_is_no_time_of_his_query(data: Twinned) -> None:
    with querying(data, timeout_s=0.5, memory_mb=128) as made:
        assert made.body(made.ask(COUNT)) == COUNTED
        answer = made.ask("SELECT id, s FROM big ORDER BY id")  # 900 kB
        made.first(answer)
        made.drive.until(lambda: answer.waited_s > 1.0, what="he takes twice the time of the query")
        assert len(msgspec.json.decode(made.body(answer))["data"]) == 20_000
        assert made.executors.tally.counts["timeouts"] == 0


def test_a_process_that_does_not_obey_is_replaced_at_once(data: Twinned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed by us: that is no crash, and nobody waits for it, however often it is needed."""
    monkeypatch.setattr("compartments.queries.executor_place.GRACE_S", 0.2)
    with querying(data, timeout_s=0.3, memory_mb=128) as made:
        for turn in range(1, 4):
            assert made.body(made.ask(COUNT)) == COUNTED
            (pid,) = made.executors.pids
            answer = made.ask(SLOW)
            made.drive.until(lambda: made.executors.gauges[0].state == "busy", what="it runs")
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(QueryTimeout, match="timeout_s"):
                made.body(answer)
            assert made.executors._places[0].resting_s == 0
            assert made.executors.tally.counts["timeouts"] == turn
        given_up = made.ask(SLOW)
        made.drive.until(
            lambda: not made.executors.queued and made.executors.gauges[0].state == "busy", what="it runs, in another"
        )
        os.kill(made.executors.pids[0], signal.SIGSTOP)
        given_up.close()
        assert made.body(made.ask(COUNT)) == COUNTED
        assert made.executors.tally.counts["abandoned"] == 1
        assert made.executors.tally.counts["crashes"] == 0


def test_what_is_not_read_is_not_produced(one: Querying) -> None:
    answer = one.ask(HUGE)
    one.first(answer)
    process = psutil.Process(one.executors.pids[0])
    worked = [-1.0]

    def stands_still() -> bool:
        worked.append(sum(process.cpu_times()[:2]))
        return worked[-1] == worked[-min(len(worked), 200)]

    one.drive.until(stands_still, what="the executor waits")
    assert not answer.waiting
    assert len(answer.step(0)) <= UNREAD_BYTES_MAX + 64 * 1024
    one.drive.until(lambda: sum(process.cpu_times()[:2]) > worked[-1] or not answer.waiting, what="it goes on")
    answer.close()


def test_a_process_that_is_killed_fails_its_answer_only(one: Querying) -> None:
    answer, behind = one.ask(HUGE), one.ask(COUNT)
    one.first(answer)
    (pid,) = one.executors.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(StoreDown) as caught:
        one.body(answer)
    assert caught.value.retry_after_s == 1
    assert one.body(behind) == COUNTED
    assert one.executors.pids != [pid]


def test_a_process_that_died_idle_is_replaced_unnoticed(one: Querying) -> None:
    assert one.body(one.ask(COUNT)) == COUNTED
    (pid,) = one.executors.pids
    os.kill(pid, signal.SIGKILL)
    one.drive.until(lambda: one.executors.pids == [], what="its end is known")
    assert one.body(one.ask(COUNT)) == COUNTED


def test_whose_caller_fails_to_take_an_answer_loses_it_and_no_place(one: Querying) -> None:
    def fail() -> None:
        raise RuntimeError("the caller's side")

    assert one.body(one.ask(COUNT)) == COUNTED
    (pid,) = one.executors.pids
    for sql in (HUGE, COUNT):
        answer = one.ask(sql)
        answer.wake = fail
        one.drive.until(lambda answer=answer: answer.closed, 20, "it is given up")
        assert one.body(one.ask(COUNT)) == COUNTED
    assert one.executors.pids == [pid]
    assert one.executors.tally.counts["crashes"] == 0


def test_the_log_says_what_a_process_died_of(data: Twinned, caplog: pytest.LogCaptureFixture) -> None:
    """Not of the signal that made sure of it."""
    for _ in range(3):
        with querying(data, threads=-1) as made, pytest.raises(StoreDown, match="did not start"):
            made.body(made.ask(COUNT))
    died = [message for message in caplog.messages if "executor" in message]
    assert len(died) == 3
    assert all("did not start (exit code 1)" in message for message in died), died


def test_a_process_that_does_not_start_in_time_is_given_up(
    data: Twinned, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("compartments.queries.executor_place.START_S", 0.01)
    with querying(data, memory_mb=128) as made:
        with pytest.raises(StoreDown, match="did not start"):
            made.body(made.ask(COUNT))
        assert "did not start (not within 0.01 s)" in caplog.text
        monkeypatch.undo()
        assert made.body(made.ask(COUNT)) == COUNTED
        assert len(made.executors.pids) == 1


def test_a_process_that_always_dies_is_not_started_at_once(data: Twinned) -> None:
    with querying(data, threads=-1) as made:  # no DuckDB starts with that
        failed: list[HavokError] = []

        def refused_unasked() -> bool:
            try:
                made.body(made.ask(COUNT))
            except StoreDown as error:
                failed.append(error)
            return "starting again" in failed[-1].detail

        for _ in range(10):
            if refused_unasked():
                break
        assert "starting again" in failed[-1].detail
        assert failed[-1].retry_after_s == 1


def test_an_engine_that_gave_up_is_replaced_before_the_next_query(
    data: Twinned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a fault of its own DuckDB refuses everything. No query is known to cause one: the process is told to."""
    (tmp_path / "sitecustomize.py").write_text(FAULTY)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with querying(data, memory_mb=128) as made:
        for _ in range(3):
            assert made.body(made.ask(COUNT)) == COUNTED
            (pid,) = made.executors.pids
            failing, behind = made.ask("SELECT 'faulty' AS x FROM big LIMIT 1"), made.ask(COUNT)
            with pytest.raises(Overloaded) as caught:
                made.body(failing)
            assert caught.value.retry_after_s == 1
            assert made.body(behind) == COUNTED
            assert made.executors.pids != [pid]
        assert made.executors.tally.counts["crashes"] == 0


FAULTY = """
import duckdb
from engine.analysis import twins

whole = twins.Twins._check

def check(self, analytical):
    if "faulty" in analytical.text:
        raise duckdb.FatalException("the database has been invalidated")
    whole(self, analytical)

twins.Twins._check = check
"""


def test_the_end_is_clean(data: Twinned) -> None:
    with querying(data, memory_mb=128) as made:
        running, queued = made.ask(SLOW), made.ask(COUNT)
        made.drive.until(lambda: made.executors.queued == 1 and made.executors.pids, what="it runs")
        process = psutil.Process(made.executors.pids[0])
        made.close()
        assert not process.is_running()
        for answer in (running, queued):
            with pytest.raises((Draining, StoreDown)):
                answer.step(0)
        with pytest.raises(Draining):
            made.ask(COUNT)


def test_an_answer_given_up_after_its_executor_died_costs_no_place(data: Twinned) -> None:
    """Its reader was slow: the answer was held back when the process went."""
    with querying(data, processes_max=1) as one:
        held = one.ask(HUGE)
        one.first(held)
        (pid,) = one.executors.pids
        os.kill(pid, signal.SIGKILL)
        one.drive.until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        held.close()
        held.close()
        one.drive.until(lambda: not one.executors.busy, 20, "the place is free again")
        one.drive.until(lambda: not one.executors._places[0].resting_s, 20, "its back-off is over")
        assert one.body(one.ask(COUNT)) == COUNTED
