"""A data directory with one dataset, and an event loop with executors on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic_ns
from typing import Any

import psutil

from compartments.processes.process import PoolSettings
from compartments.queries.executors import Executors
from compartments.queries.remote_answer import RemoteAnswer
from tests.compartments.loops import Driver, driver
from tests.engine.twinning import Twinned

JSON = "application/json"
SLOW = "SELECT count(*) AS n FROM big a, big b, big c WHERE a.s < b.s"  # for hours
HUGE = "SELECT a.id, a.s FROM big a, big b"  # 10 GB, the first rows at once


def make_data(directory: Path) -> Twinned:
    data = Twinned(directory)
    data.load("big", "SELECT range AS id, hash(range)::VARCHAR AS s FROM range(20000)", ("id",))
    return data


class Querying:
    def __init__(self, drive: Driver, data: Twinned, settings: dict[str, Any]) -> None:
        self.drive = drive
        self.data = data
        self.executors = drive.loop.run_until_complete(self._made(settings))

    async def _made(self, settings: dict[str, Any]) -> Executors:
        return Executors(PoolSettings(data_dir=str(self.data.data_dir), **settings))

    def ask(self, sql: str, media: str = JSON, /, **values: Any) -> RemoteAnswer:
        async def run() -> RemoteAnswer:
            return self.executors.run("q", self.data.compiled(sql), self.data.versions, values, media, False)

        return self.drive.loop.run_until_complete(run())

    def body(self, answer: RemoteAnswer) -> bytes:
        """All of it; raises what ended it."""
        parts: list[bytes] = []

        def whole() -> bool:
            parts.append(answer.step(monotonic_ns() + 1_000_000))
            return answer.done

        self.drive.until(whole, 20, "the whole answer")
        return b"".join(parts)

    def first(self, answer: RemoteAnswer) -> None:
        self.drive.until(lambda: not answer.waiting, 20, "the first piece")

    def close(self) -> None:
        children = psutil.Process().children()
        self.drive.loop.run_until_complete(self.executors.close())
        assert not [
            child for child in children if child.is_running() and "compartments.queries.executor" in child.cmdline()
        ]


@contextmanager
def querying(data: Twinned, **settings: Any) -> Iterator[Querying]:
    with driver() as drive:
        made = Querying(drive, data, settings)
        yield made
        made.close()
        assert drive.unhandled == []
