"""A worker's executors: processes that run its analytical queries, and the queue in front.

Rule: a query never waits in the worker's loop nor fills its memory: what has arrived is
taken by `step`, and while that is too much the executor is not read from. A process starts
with the first query that finds no other idle; one that dies fails the answer it was giving
and is replaced when the next query comes, with back-off. All of them end with `close`.
"""

import asyncio
import contextlib
import itertools
import logging
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from time import monotonic
from typing import Any

import msgspec

from compartments import frames
from compartments.process import ExecutorSettings
from compartments.restarts import Restarts, after_death
from engine.analysis.analytical import Analytical
from havok.errors import Draining, HavokError, Overloaded, QueryTimeout, StoreDown

log = logging.getLogger(__name__)

UNREAD_BYTES_MAX = 256 * 1024  # of an answer, before its executor waits; a socket's send buffer is as large
READ_BYTES = 64 * 1024  # buffered below the frames
START_S = 30.0  # reading a program from a slow disk takes long; 0.3 s when it was read before
GRACE_S = 2.0  # beyond its time limit, or once cancelled, before SIGKILL


def _nobody() -> None:
    """Nobody waits for the answer."""


class RemoteAnswer:
    """The body of one answer as it arrives. `wake()` is called in the loop when `waiting` has ended."""

    def __init__(self, ask: frames.Ask, on_close: Callable[["RemoteAnswer"], None]) -> None:
        self.ask = ask
        self.wake: Callable[[], None] = _nobody
        self.closed = False
        self._on_close = on_close
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: HavokError | None = None
        self._room = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._ended and not self._pieces and self._error is None

    @property
    def waiting(self) -> bool:
        """A step would give nothing now."""
        return not self._pieces and not self._ended

    def step(self, until_ns: int) -> bytes:
        """All that has arrived; empty when nothing has. Raises the HavokError that ended the answer.

        `until_ns` is not needed: it only hands over bytes.
        """
        if self._error is not None:
            raise self._error
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        self._room.set()
        return body

    def close(self) -> None:
        """Gives the answer up; harmless after its end."""
        if self.closed:
            return
        self.closed = True
        self._pieces.clear()
        self._room.set()
        if not self._ended:
            self._on_close(self)

    # -- the executor's side ---------------------------------------------------------

    async def take(self, piece: bytes) -> None:
        """Returns when more may come."""
        if self.closed or self._ended:
            return
        self._pieces.append(piece)
        self._unread += len(piece)
        self._room.clear()
        self.wake()
        while self._full():
            self._room.clear()
            await self._room.wait()

    def _full(self) -> bool:
        return self._unread >= UNREAD_BYTES_MAX and not self.closed and not self._ended

    def end(self, error: HavokError | None = None) -> None:
        """Once; the first end is the answer's."""
        if self._ended:
            return
        self._ended, self._error = True, error
        self._room.set()
        if not self.closed:
            self.wake()


class Executors:
    def __init__(self, settings: ExecutorSettings) -> None:
        self._settings = settings
        self._numbers = itertools.count(1)
        self._queue: deque[RemoteAnswer] = deque()
        self._asked = asyncio.Condition()
        self._places: list[_Place] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def pids(self) -> list[int]:
        """Of the processes there are, for the status and the tests."""
        return [pid for place in self._places if (pid := place.pid)]

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """Whether a query runs or waits."""
        return bool(self._queue) or not all(place.idle for place in self._places)

    def run(
        self,
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
        answer = RemoteAnswer(ask, self._give_up)
        self._queue.append(answer)
        if len(self._queue) > sum(place.idle for place in self._places) and len(self._places) < places:
            self._places.append(_Place(self._settings, self.next))
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


class _Place:
    """Room for one process: it is there from a query on, until it dies or the worker ends."""

    def __init__(self, settings: ExecutorSettings, next_answer: Callable[[], Awaitable[RemoteAnswer]]) -> None:
        self._settings = settings
        self._next = next_answer
        self._loop = asyncio.get_running_loop()
        self._child: asyncio.subprocess.Process | None = None
        self._answer: RemoteAnswer | None = None
        self._started_s = 0.0
        self._restarts = Restarts()
        self._rested_s = 0.0  # when the back-off ends
        self.idle = True

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None and self._child.returncode is None else 0

    @property
    def resting_s(self) -> float:
        return max(0.0, self._rested_s - monotonic())

    async def serve(self) -> None:
        """For ever; cancelled at the end."""
        try:
            while True:
                await asyncio.sleep(self.resting_s)
                self.idle = True
                answer = await self._next()
                self.idle = False
                self._answer = answer
                try:
                    await self._give(answer)
                except Exception as error:  # whatever it was: a place that is lost would be lost for good
                    await self._bury(error)
                finally:
                    self._answer = None
                    answer.end(StoreDown("the query engine ended in the middle of the answer", retry_after_s=1))
        finally:
            await self._end_child()

    def cancel(self, answer: RemoteAnswer) -> None:
        child = self._child
        if answer is not self._answer or child is None or child.stdin is None or child.returncode is not None:
            return
        with contextlib.suppress(OSError, RuntimeError):  # what uvloop says of a pipe whose end is gone
            child.stdin.write(frames.frame(frames.Cancel(answer.ask.number)))
        self._loop.call_later(GRACE_S, self._insist, answer)

    async def _give(self, answer: RemoteAnswer) -> None:
        """Raises what reading and writing pipes raise when the process is gone."""
        child = await self._ready()
        if answer.closed:
            return
        assert child.stdin is not None
        child.stdin.write(frames.frame(answer.ask))
        late = self._loop.call_later(self._settings.timeout_s + GRACE_S, self._insist, answer)
        try:
            await child.stdin.drain()
            while True:
                found = await self._read(child)
                if isinstance(found, frames.Piece):
                    await answer.take(found.data)
                elif isinstance(found, frames.End):
                    answer.end(None if found.code is None else frames.rebuilt(found))
                    return
        finally:
            late.cancel()

    async def _ready(self) -> asyncio.subprocess.Process:
        """The process, which is started when there is none."""
        child = self._child
        if child is not None and child.returncode is None and child.stdout is not None and not child.stdout.at_eof():
            return child
        await self._end_child()
        self._started_s = monotonic()
        child = self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "compartments.executor", msgspec.json.encode(self._settings).decode(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=READ_BYTES,
        )  # fmt: skip
        await asyncio.wait_for(self._read(child), START_S)
        return child

    async def _read(self, child: asyncio.subprocess.Process) -> frames.Up:
        assert child.stdout is not None
        (length,) = frames.LENGTH.unpack(await child.stdout.readexactly(frames.LENGTH.size))
        found: frames.Up = frames.decode_up(await child.stdout.readexactly(length))
        return found

    def _insist(self, answer: RemoteAnswer) -> None:
        """It had its time and more."""
        if answer is self._answer and self._child is not None and self._child.returncode is None:
            log.warning("executor (pid %d) did not end a query in time; it is killed", self._child.pid)
            answer.end(QueryTimeout("the query took longer than the service allows; ask for less"))
            self._child.kill()

    async def _bury(self, error: Exception) -> None:
        pid = self._child.pid if self._child is not None else 0
        await self._end_child()
        lived_s = monotonic() - self._started_s
        self._restarts, wait_s = after_death(self._restarts, lived_s, random.random())
        self._rested_s = monotonic() + wait_s
        why = str(error) or type(error).__name__
        log.warning("executor (pid %d) is gone (%s); another can start in %.1f s", pid, why, wait_s)

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        await child.wait()
        if child.stdin is not None:
            child.stdin.close()
