"""Room for one executor process: it is there from a query on, until it dies or the worker ends.

Rule: a query has its time, and its caller has his. One that is over its time, or not wanted
any more, is told to end; a process that does not obey is killed and replaced at once. Only
one that died by itself is a crash, after which the next waits (`restarts`).
"""

import asyncio
import contextlib
import logging
import random
import sys
from collections.abc import Awaitable, Callable
from time import monotonic

import msgspec

from compartments.processes.process import PoolSettings
from compartments.processes.restarts import Restarts, after_death
from compartments.queries import frames
from compartments.queries.remote_answer import RemoteAnswer
from compartments.queries.tally import Tally
from havok.errors import HavokError, QueryTimeout, StoreDown
from havok.messages import ExecutorGauge

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024  # buffered below the frames
START_S = 30.0  # reading a program from a slow disk takes long; 0.3 s when it was read before
DYING_S = 1.0  # between the end of its pipes and its own, which says why
GRACE_S = 2.0  # beyond its time limit, or once cancelled, before SIGKILL
LOOK_AGAIN_S = 0.05  # at whether it is over its time, which stands still while it waits for its caller


class Place:
    def __init__(
        self, settings: PoolSettings, next_answer: Callable[[], Awaitable[RemoteAnswer]], tally: Tally
    ) -> None:
        self._settings = settings
        self._next = next_answer
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._child: asyncio.subprocess.Process | None = None
        self._answer: RemoteAnswer | None = None
        self._asked = False  # the process knows of the answer
        self._killed = False  # by us: no crash
        self._noted = False  # how the answer ended is counted
        self._late: asyncio.TimerHandle | None = None
        self._started_s = 0.0
        self._began_s = 0.0  # with the answer
        self._restarts = Restarts()
        self._rested_s = 0.0  # when the back-off ends
        self.idle = True

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None and self._child.returncode is None else 0

    @property
    def resting_s(self) -> float:
        return max(0.0, self._rested_s - monotonic())

    @property
    def gauge(self) -> ExecutorGauge:
        if self._answer is not None:
            seconds = round(monotonic() - self._began_s, 3)
            return ExecutorGauge(self.pid, "busy" if self._asked else "starting", self._answer.service, seconds)
        return ExecutorGauge(self.pid, "resting" if self.resting_s else "idle")

    async def serve(self) -> None:
        """For ever; cancelled at the end."""
        try:
            while True:
                await asyncio.sleep(self.resting_s)
                self.idle = True
                answer = await self._next()
                self.idle = False
                self._answer, self._began_s = answer, monotonic()
                self._asked = self._killed = self._noted = False
                try:
                    await self._give(answer)
                except Exception as error:  # whatever it was: a place that is lost would be lost for good
                    await self._bury(answer, error)
                finally:
                    self._answer = None
                    if self._late is not None:
                        self._late.cancel()
                    what = "ended in the middle of the answer" if self._asked else "did not start"
                    answer.end(StoreDown(f"the query engine {what}", retry_after_s=1))
        finally:
            await self._end_child()

    def cancel(self, answer: RemoteAnswer) -> None:
        """It is wanted no more; one that the process does not know of yet is not asked at all."""
        child = self._child
        if answer is not self._answer or not self._asked or child is None or child.returncode is not None:
            return
        assert child.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):  # what uvloop says of a pipe whose end is gone
            child.stdin.write(frames.frame(frames.Cancel(answer.ask.number)))
        self._loop.call_later(GRACE_S, self._insist, answer)

    async def _give(self, answer: RemoteAnswer) -> None:
        """Raises what reading and writing pipes raise when the process is gone."""
        child = await self._ready()
        if answer.closed:
            self._note(answer, None)
            return
        assert child.stdin is not None
        self._asked, self._began_s = True, monotonic()
        child.stdin.write(frames.frame(answer.ask))
        self._look(answer)
        await child.stdin.drain()
        while True:
            found = await self._read(child)
            if isinstance(found, frames.Piece):
                slow = await answer.take(found.data)
                if slow is not None:
                    self._note(answer, slow)
                    self.cancel(answer)
            elif isinstance(found, frames.End):
                error = None if found.code is None else frames.rebuilt(found)
                if found.final:
                    log.warning("executor (pid %d) ended: its DuckDB gave up; another starts when needed", child.pid)
                    await self._end_child()
                self._note(answer, error)
                answer.end(error)
                return

    def _note(self, answer: RemoteAnswer, error: HavokError | None) -> None:
        """How the answer ended; the first end is the one that counts."""
        if not self._noted:
            self._noted = True
            self._tally.note(answer.service, error, monotonic(), abandoned=answer.closed)

    async def _ready(self) -> asyncio.subprocess.Process:
        """The process, which is started when there is none."""
        child = self._child
        if child is not None and child.returncode is None and child.stdout is not None and not child.stdout.at_eof():
            return child
        await self._end_child()
        self._started_s = monotonic()
        child = self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "compartments.queries.executor", msgspec.json.encode(self._settings).decode(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=READ_BYTES,
        )  # fmt: skip
        try:
            await asyncio.wait_for(self._read(child), START_S)
        except TimeoutError:
            raise TimeoutError(f"not within {START_S:g} s") from None
        return child

    async def _read(self, child: asyncio.subprocess.Process) -> frames.Up:
        assert child.stdout is not None
        (length,) = frames.LENGTH.unpack(await child.stdout.readexactly(frames.LENGTH.size))
        found: frames.Up = frames.decode_up(await child.stdout.readexactly(length))
        return found

    def _look(self, answer: RemoteAnswer) -> None:
        """Whether it had its time and more; what its caller took of it does not count."""
        left_s = self._settings.timeout_s + GRACE_S - (monotonic() - self._began_s - answer.waited_s)
        if left_s <= 0:
            self._insist(answer)
        else:
            self._late = self._loop.call_later(max(left_s, LOOK_AGAIN_S), self._look, answer)

    def _insist(self, answer: RemoteAnswer) -> None:
        """It was told to end, and did not."""
        if answer is not self._answer or self._child is None or self._child.returncode is not None:
            return
        log.warning(
            "executor (pid %d) did not end a query of service %s when it should; it is killed and replaced",
            self._child.pid, answer.service,
        )  # fmt: skip
        self._killed = True
        if answer.wanted:
            late = QueryTimeout(frames.too_long(self._settings.timeout_s))
            self._note(answer, late)
            answer.end(late)
        self._child.kill()

    async def _bury(self, answer: RemoteAnswer, error: Exception) -> None:
        child = self._child
        if child is not None and isinstance(error, EOFError | ConnectionError):  # it closed its pipes: it is ending
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), DYING_S)
        why = _why(child, error)
        await self._end_child()
        if self._killed:
            self._note(answer, None)
            return
        self._noted = True
        lived_s = monotonic() - self._started_s
        self._restarts, wait_s = after_death(self._restarts, lived_s, random.random())
        self._rested_s = monotonic() + wait_s
        who = "executor" if child is None else f"executor (pid {child.pid})"
        what = "is gone in the middle of a query" if self._asked else "did not start"
        reason = f"{who} {what} ({why}); another can start in {wait_s:.1f} s"
        self._tally.crash(answer.service, reason, monotonic())

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


def _why(child: asyncio.subprocess.Process | None, error: Exception) -> str:
    """What it died of; while it lives, what it is killed for."""
    code = child.returncode if child is not None else None
    if code is None:
        return str(error) or type(error).__name__
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
