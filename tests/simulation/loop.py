"""A virtual clock and its event queue, in the shape of an asyncio loop that all processes share.

Rule: one event at a time, in the order of its due time; time only passes between events, and
nobody waits for it. Which process an event belongs to is known: what a dead one had planned
never happens, and what a stopped one has to do is kept until it goes on.

Descriptors are real ones. Who became readable is asked after each event, and is told after a
delay of the dice's: so two processes meet in every order.
"""

import asyncio
import contextlib
import heapq
import random
import select
from collections import Counter
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any
from zlib import crc32

BORN_NS = 1_000_000_000_000  # no clock starts at 0
LATE_NS_MAX = 300_000  # of a timer
THREAD_NS = 5_000_000  # in the mean
WAKE_NS_MAX = 1_500_000  # from readable to read
AT_ONCE_MAX = 10_000  # events that take no time; more is a loop without end


class Owner:
    """What events belong to: a process, or the world outside."""

    name = "outside"
    alive = True
    stopped = False

    def __init__(self) -> None:
        self.kept: list[Event] = []


class Event:
    __slots__ = ("args", "callback", "called_off", "owner", "when_ns")

    def __init__(self, when_ns: int, owner: Owner, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when_ns = when_ns
        self.owner = owner
        self.callback = callback
        self.args = args
        self.called_off = False

    def cancel(self) -> None:
        self.called_off = True
        self.args = ()

    def cancelled(self) -> bool:
        return self.called_off

    def when(self) -> float:
        return self.when_ns / 1e9


class _Reader:
    __slots__ = ("callback", "number", "owner", "woken")

    def __init__(self, owner: Owner, callback: Callable[[], object], number: int) -> None:
        self.owner = owner
        self.callback = callback
        self.number = number
        self.woken = False


class Loop(asyncio.AbstractEventLoop):
    def __init__(self, dice: random.Random, after: Callable[[Owner], None], fail: Callable[[str], None]) -> None:
        """`after(owner)` is called when an event of an owner is over, `fail(what)` where one went wrong."""
        self._dice = dice
        self._after = after
        self._fail = fail
        self._events: list[tuple[int, int, Event]] = []
        self._number = 0
        self._readers: dict[int, _Reader] = {}
        self._epoll = select.epoll()
        self._tasks: list[
            asyncio.Task[Any]
        ] = []  # those of the dead as well: their ends must not be run by a collector
        self._over = False
        self._salt = dice.random()
        self._opened: Counter[str] = Counter()
        self.now_ns = BORN_NS
        self.outside = Owner()
        self.current = self.outside
        self.events = 0
        self._since = (0, 0)  # the time, and how many events there were before it

    # -- time ------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def monotonic_ns(self) -> int:
        return self.now_ns

    def run(self, until_ns: int, done: Callable[[], bool] | None = None) -> bool:
        """Until then, or `done()`, which is asked once a ms; True when it was."""
        asyncio._set_running_loop(self)
        ask_ns = 0
        try:
            while self._events:
                if done is not None and self.now_ns >= ask_ns:
                    if done():
                        return True
                    ask_ns = self.now_ns + 1_000_000
                if self._events[0][0] > until_ns:
                    break
                self._step()
        finally:
            asyncio._set_running_loop(None)
        self.now_ns = max(self.now_ns, until_ns)
        return done is not None and done()

    def _step(self) -> None:
        when_ns, _, event = heapq.heappop(self._events)
        owner = event.owner
        if event.called_off or not owner.alive:
            return
        if owner.stopped:
            owner.kept.append(event)
            return
        self.now_ns = max(self.now_ns, when_ns)
        self.events += 1
        self.current = owner
        try:
            event.callback(*event.args)
        finally:
            self.current = self.outside
        self._after(owner)
        self._wake()
        if self.now_ns > self._since[0]:
            self._since = (self.now_ns, self.events)
        elif self.events - self._since[1] > AT_ONCE_MAX:
            self._fail(f"{owner.name} turns and turns, and no time passes")

    def at(self, when_ns: int, owner: Owner, callback: Callable[..., object], *args: Any) -> Event:
        event = Event(when_ns, owner, callback, args)
        if not self._over:
            self._number += 1
            heapq.heappush(self._events, (when_ns, self._number, event))
        return event

    def go_on(self, owner: Owner) -> None:
        """What was kept happens now, in its order."""
        kept, owner.kept = owner.kept, []
        for event in kept:
            self._number += 1
            heapq.heappush(self._events, (self.now_ns, self._number, event))

    def _wake(self) -> None:
        ready = [(reader.number, fd) for fd, _ in self._epoll.poll(0) if not (reader := self._readers[fd]).woken]
        for _, fd in sorted(ready):
            reader = self._readers[fd]
            reader.woken = True
            self.at(self.now_ns + int(self._dice.random() ** 3 * WAKE_NS_MAX), reader.owner, self._read, fd, reader)

    def _read(self, fd: int, reader: _Reader) -> None:
        reader.woken = False
        if self._readers.get(fd) is reader:
            reader.callback()

    # -- as asyncio's ----------------------------------------------------------------

    def time(self) -> float:
        return self.now_ns / 1e9

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Event:  # type: ignore[override]
        return self.at(self.now_ns, self.current, callback, *args)

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Event:  # type: ignore[override]
        late_ns = int(self._dice.random() ** 4 * LATE_NS_MAX)
        return self.at(self.now_ns + round(delay * 1e9) + late_ns, self.current, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Event:  # type: ignore[override]
        return self.call_later(when - self.time(), callback, *args)

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        assert not args
        self._number += 1
        if fd not in self._readers:  # else another callback takes the place of the one before
            self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = _Reader(self.current, callback, self._number)

    def remove_reader(self, fd: int) -> bool:  # type: ignore[override]
        if self._readers.pop(fd, None) is None:
            return False
        self._epoll.unregister(fd)
        return True

    def forget_readers(self, owner: Owner) -> list[int]:
        """Of one that died; the descriptors."""
        gone = [fd for fd, reader in self._readers.items() if reader.owner is owner]
        for fd in gone:
            self.remove_reader(fd)
        return gone

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:  # type: ignore[override]
        task = asyncio.Task(coro, loop=self, name=name)
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A thread is an event of its own, some time later.

        What opens files is begun in the order of a set of names, which is another in each interpreter: how long it
        takes is drawn from what it opens.
        """
        future = self.create_future()
        path = next(
            (path for path in getattr(func, "args", ()) if isinstance(path, Path) and "datasets" in path.parts), None
        )
        chance = self._dice.random() if path is None else self._chance_of(f"{path.parent.name}/{path.name}")
        self.at(self.now_ns + int(-log(1 - chance) * THREAD_NS), self.current, _settle, future, func, args)
        return future

    def _chance_of(self, name: str) -> float:
        key = f"{self.current.name} {name}"
        self._opened[key] += 1
        return crc32(f"{self._salt} {key} {self._opened[key]}".encode()) / 2**32

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._over:
            self._fail(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def finish(self) -> None:
        """Nothing happens any more."""
        self._over = True
        self._events.clear()

    def close(self) -> None:
        """What still waited is given up here, and not whenever a collector comes by."""
        self.finish()
        asyncio._set_running_loop(self)
        try:
            for task in self._tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with contextlib.suppress(RuntimeError):  # an await within a `finally`
                        task.get_coro().close()  # type: ignore[union-attr]
        finally:
            asyncio._set_running_loop(None)
        self._epoll.close()


def _settle(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except Exception as error:
        if not future.cancelled():
            future.set_exception(error)
    else:
        if not future.cancelled():
            future.set_result(result)
