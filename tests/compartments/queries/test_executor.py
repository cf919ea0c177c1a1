"""One executor over its pipes: what it says, what it takes of the machine, and how it ends."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from compartments.processes.process import PoolSettings
from compartments.queries import frames
from compartments.queries.executor import BESIDE_MB, NICE, Executor
from engine.analysis.analytical import Analytical
from engine.column import OutputColumn
from engine.forms.media import CSV
from tests.compartments.deadline import pause, until
from tests.compartments.querying import HUGE, JSON, SLOW, make_data
from tests.engine.twinning import Twinned


class Pipes:
    def __init__(self, data: Twinned, **settings: Any) -> None:
        self._data = data
        made = PoolSettings(data_dir=str(data.data_dir), **{"memory_mb": 128, **settings})
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "compartments.queries.executor", msgspec.json.encode(made).decode()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        ready = self.read()
        assert isinstance(ready, frames.Ready)
        assert ready.pid == self.process.pid

    def read(self) -> frames.Up:
        (length,) = frames.LENGTH.unpack(self.answers.read(frames.LENGTH.size))
        return frames.decode_up(self.answers.read(length))

    def send(self, value: frames.Down) -> None:
        self.requests.write(frames.frame(value))
        self.requests.flush()

    def ask(self, number: int, query: str | Analytical, /, **values: Any) -> None:
        made = self._data.compiled(query) if isinstance(query, str) else query
        self.send(frames.Ask(number, made, self._data.versions, values, JSON, False))

    def rest(self) -> tuple[bytes, frames.End]:
        parts = []
        while isinstance(found := self.read(), frames.Piece):
            parts.append(found.data)
        assert isinstance(found, frames.End)
        return b"".join(parts), found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Twinned:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def pipes(data: Twinned) -> Iterator[Pipes]:
    made = Pipes(data)
    yield made
    made.close()


def test_requests_are_answered_in_order(pipes: Pipes) -> None:
    pipes.ask(1, "SELECT id FROM big WHERE id < :n ORDER BY id", n=2)
    assert pipes.rest() == (b'{"data":[{"id":0},{"id":1}]}', frames.End(1))
    pipes.ask(2, "SELECT id FROM big WHERE id < 0")
    assert pipes.rest() == (b'{"data":[]}', frames.End(2))
    pipes.ask(3, "SELECT id FROM big")
    body, _ = pipes.rest()
    assert len(msgspec.json.decode(body)["data"]) == 20_000


def test_an_error_before_the_first_row_comes_without_a_byte(pipes: Pipes) -> None:
    pipes.ask(1, "SELECT id FROM big LIMIT :n", n=-1)
    assert pipes.rest() == (b"", frames.End(1, "query_failed", "LIMIT and OFFSET must not be negative"))
    pipes.ask(2, Analytical("", "SELECT getenv('HOME') AS x", (), (), (OutputColumn("x", "VARCHAR"),)))
    body, end = pipes.rest()
    assert (body, end.code) == (b"", "internal")


def test_a_cancelled_query_ends_and_the_next_one_runs(pipes: Pipes) -> None:
    pipes.ask(1, SLOW)
    pipes.send(frames.Cancel(1))
    _, end = pipes.rest()
    assert end.code == "query_timeout"
    pipes.send(frames.Cancel(1))  # too late, and of nobody
    pipes.ask(2, "SELECT count(*) AS n FROM big")
    assert pipes.rest() == (b'{"data":[{"n":20000}]}', frames.End(2))


def test_waiting_for_the_worker_to_read_is_no_time_of_the_query(data: Twinned) -> None:
    pipes = Pipes(data, timeout_s=0.5)
    pipes.ask(1, "SELECT id, s FROM big ORDER BY id")  # 900 kB, a pipe takes 64
    poll = select.poll()
    poll.register(pipes.answers, select.POLLIN)
    assert poll.poll(10_000)
    pause(1.0)  # longer than the query may take
    body, end = pipes.rest()
    assert end == frames.End(1)
    assert len(msgspec.json.decode(body)["data"]) == 20_000
    pipes.ask(2, SLOW)
    _, end = pipes.rest()
    assert (end.code, "0.5 s" in end.detail) == ("query_timeout", True), "what it waited is not added to the next"
    pipes.close()


def test_an_end_that_waits_to_be_read_is_no_time_of_the_next_query(data: Twinned) -> None:
    """It may have been read, and the next query asked, before the thread that wrote it goes on."""
    answers, written = os.pipe()
    executor = Executor(PoolSettings(data_dir=str(data.data_dir), memory_mb=128), 0, written)
    executor._deadline_s = 1.0
    executor._send(frames.End(1))
    assert executor._deadline_s == 1.0
    assert executor._writing_since_s is None
    executor._twins.close()
    os.close(answers)
    os.close(written)


def test_a_cancelled_query_that_waits_to_be_read_ends(pipes: Pipes) -> None:
    pipes.ask(1, HUGE)
    assert isinstance(pipes.read(), frames.Piece)
    pipes.send(frames.Cancel(1))
    body, end = pipes.rest()
    assert end.code == "query_timeout"
    assert len(body) < 1 << 20


def test_what_it_takes_of_the_machine(pipes: Pipes) -> None:
    process = psutil.Process(pipes.process.pid)
    assert process.rlimit(psutil.RLIMIT_DATA)[0] == (128 + BESIDE_MB) << 20
    assert process.nice() == min(19, psutil.Process().nice() + NICE)


def test_what_duckdb_does_not_count_is_bounded_too(pipes: Pipes) -> None:
    """One string of 3 GB is no block of DuckDB's."""
    pipes.ask(1, "SELECT length(repeat('x', :n::BIGINT)) AS n FROM big LIMIT 1", n=3_000_000_000)
    _, end = pipes.rest()
    assert end.code == "out_of_memory"
    assert "128 MB it may have (executors.memory_mb)" in end.detail


@pytest.mark.parametrize("media", [JSON, CSV])
def test_a_row_that_only_just_fits_is_rendered_or_refused(data: Twinned, media: str) -> None:
    """Four million numbers in a list: fetched within the limit, written out beyond it."""
    for count in (205, 220):
        pipes = Pipes(data, memory_mb=512)
        query = data.compiled("SELECT list(a.id * 1000 + b.id) AS l FROM big a, big b WHERE b.id < :n")
        pipes.send(frames.Ask(1, query, data.versions, {"n": count}, media, False))
        body, end = pipes.rest()
        assert len(body) > 30_000_000 if end.code is None else end.code == "out_of_memory"
        pipes.ask(2, "SELECT count(*) AS n FROM big")
        assert pipes.rest() == (b'{"data":[{"n":20000}]}', frames.End(2))
        pipes.close()


@pytest.mark.parametrize("query", [None, SLOW, HUGE])
def test_it_ends_with_its_worker(data: Twinned, query: str | None) -> None:
    pipes = Pipes(data)
    if query is not None:
        pipes.ask(1, query)
    if query == SLOW:
        process = psutil.Process(pipes.process.pid)
        before = sum(process.cpu_times()[:2])
        until(lambda: sum(process.cpu_times()[:2]) > before, what="it works")
    if query == HUGE:
        assert isinstance(pipes.read(), frames.Piece)
    pipes.requests.close()
    if query != HUGE:
        pipes.answers.close()  # and one that waits to write ends all the same
    assert pipes.process.wait(10) == 0
    pipes.process.stderr.close()  # type: ignore[union-attr]
    pipes.answers.close()


@pytest.mark.parametrize("query", [None, SLOW])
def test_sigterm_ends_it(pipes: Pipes, query: str | None) -> None:
    if query is not None:
        pipes.ask(1, query)
    pipes.process.terminate()
    assert pipes.process.wait(10) == -signal.SIGTERM


def test_a_killed_worker_leaves_no_executor(data: Twinned, tmp_path: Path) -> None:
    """A process with executors, one of them at work, is killed."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    arguments = msgspec.json.encode((str(data.data_dir), data.compiled(SLOW), data.versions)).decode()
    worker = subprocess.Popen([sys.executable, str(script), arguments], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    children = [psutil.Process(int(pid)) for pid in worker.stdout.readline().split()]
    assert len(children) == 2
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


WORKER = """
import asyncio, sys, msgspec
from compartments.queries.executors import Executors
from compartments.processes.process import PoolSettings
from engine.analysis.analytical import Analytical

async def main():
    data_dir, query, versions = msgspec.json.decode(sys.argv[1], type=tuple[str, Analytical, dict[str, str]])
    executors = Executors(PoolSettings(data_dir=data_dir, processes_max=2, memory_mb=128))
    answers = [executors.run("q", query, versions, {}, "application/json", False) for _ in range(2)]
    while len(executors.pids) < 2 or executors.queued:
        await asyncio.sleep(0.01)
    print(*executors.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
