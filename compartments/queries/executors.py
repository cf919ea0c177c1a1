"""A worker's executors: processes that run its analytical queries, and the queue in front.

Rule: a query never waits in the worker's loop nor fills its memory: what has arrived is
taken by `step`, and while that is too much the executor is not read from. A process starts
with the first query that finds no other idle; one that dies fails the answer it was giving
and is replaced when the next query comes, with back-off. All of them end with `close`.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Mapping
from math import ceil
from typing import Any

from compartments.processes.process import PoolSettings
from compartments.queries import frames
from compartments.queries.executor_place import Place
from compartments.queries.remote_answer import RemoteAnswer
from compartments.queries.tally import Tally
from engine.analysis.analytical import Analytical
from havok.errors import Draining, Overloaded, StoreDown
from havok.messages import ExecutorGauge

READER_S_MIN = 5.0  # as long as a connection may stand still; see engine.http.peer


class Executors:
    """`tally` is shared with the pools before and beside it: a counter never falls."""

    def __init__(self, settings: PoolSettings, tally: Tally | None = None) -> None:
        self._settings = settings
        self.tally = tally or Tally()
        self._patience_s = max(settings.timeout_s, READER_S_MIN)
        self._numbers = itertools.count(1)
        self._queue: deque[RemoteAnswer] = deque()
        self._asked = asyncio.Condition()
        self._places: list[Place] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """Of the processes there are, for the tests."""
        return [pid for place in self._places if (pid := place.pid)]

    @property
    def gauges(self) -> list[ExecutorGauge]:
        return [place.gauge for place in self._places]

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a query runs or waits."""
        return bool(self._queue) or not all(place.idle for place in self._places)

    def run(
        self,
        service: str,
        analytical: Analytical,
        versions: Mapping[str, str],
        values: Mapping[str, Any],
        media: str,
        meta: bool,
    ) -> RemoteAnswer:
        """In the loop. Raises Overloaded, StoreDown or Draining before anything is begun."""
        if self._closing:
            raise Draining("this worker is ending", retry_after_s=1)
        places = self._settings.processes_max
        resting_s = [place.resting_s for place in self._places]
        if len(resting_s) >= places and min(resting_s) > 0:
            raise StoreDown("the query engine is starting again", retry_after_s=max(1, ceil(min(resting_s))))
        idle = sum(place.idle for place in self._places) + places - len(self._places)
        if len(self._queue) >= self._settings.queue_max + idle:
            raise Overloaded("too many queries are waiting", retry_after_s=1)
        plain = {name: frames.plain(value) for name, value in values.items()}
        ask = frames.Ask(next(self._numbers), analytical, dict(versions), plain, media, meta)
        answer = RemoteAnswer(service, ask, self._patience_s, self._give_up)
        self._queue.append(answer)
        if len(self._queue) > sum(place.idle for place in self._places) and len(self._places) < places:
            self._places.append(Place(self._settings, self.next, self.tally))
            self._own(self._places[-1].serve())
        else:
            self._own(self._tell())
        return answer

    async def next(self) -> RemoteAnswer:
        """The query that has waited longest."""
        async with self._asked:
            self._asked.notify_all()  # whoever waits for all to rest looks again
            await self._asked.wait_for(lambda: self._queue)
            return self._queue.popleft()

    async def rest(self) -> None:
        """Returns when no query runs or waits."""
        async with self._asked:
            await self._asked.wait_for(lambda: not self.busy)

    async def close(self) -> None:
        """Every process and task has ended; what was asked ends with Draining."""
        self._closing = True
        for answer in self._queue:
            answer.end(Draining("this worker is ending", retry_after_s=1))
        self._queue.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _give_up(self, answer: RemoteAnswer) -> None:
        with contextlib.suppress(ValueError):
            self._queue.remove(answer)
            self.tally.note(answer.service, None, 0.0, abandoned=True)
            return
        for place in self._places:
            place.cancel(answer)

    async def _tell(self) -> None:
        async with self._asked:
            self._asked.notify_all()

    def _own(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
