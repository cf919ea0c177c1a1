"""Readiness of data sockets: one epoll of our own inside the event loop's.

Rule: one callback per descriptor. The event loop watches a single descriptor, this
epoll's; a tick asks it for what is ready and calls back directly. Against a loop reader
per socket that costs one call less and, more, gives all requests of a tick one clock
reading, their common arrival. A tick is bounded in events and time, so that timers and the
bus get their turn; what is left is ready again at once.
"""

import asyncio
import select
from collections.abc import Callable
from functools import partial
from time import monotonic_ns

from engine.http.meter import Meter

EVENTS_MAX = 64
BUSY_EVENTS = 4  # from so many at once on, another look costs less than a turn of the loop
TICK_NS_MAX = 1_000_000  # then timers and the bus get their turn
READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLRDHUP  # the peer ended its side, or more; what it sent before stays unread
NOTHING = 0  # errors and hang-ups are reported all the same


class Reactor:
    """`now_ns`: monotonic time at the start of this tick."""

    __slots__ = ("_callbacks", "_epoll", "_events", "_loop", "now_ns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._events: dict[int, int] = {}  # what each was last to tell: a change to the same is no system call
        self._loop = loop
        self.now_ns = monotonic_ns()
        loop.add_reader(self._epoll.fileno(), self._tick)

    def add(self, fd: int, callback: Callable[[], None], events: int = READ) -> None:
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback
        self._events[fd] = events

    def change(self, fd: int, callback: Callable[[], None], events: int) -> None:
        self._callbacks[fd] = callback
        if self._events[fd] != events:
            self._epoll.modify(fd, events)
            self._events[fd] = events

    def rest(self, fd: int, seconds: float) -> None:
        """Hears nothing of a descriptor that is read from, for so long."""
        self._epoll.modify(fd, NOTHING)
        self._events[fd] = NOTHING
        self._loop.call_later(seconds, self._wake, fd, self._callbacks[fd])

    def _wake(self, fd: int, callback: Callable[[], None]) -> None:
        if self._callbacks.get(fd) is callback:  # else removed meanwhile, and the number perhaps another's
            self._epoll.modify(fd, READ)
            self._events[fd] = READ

    def remove(self, fd: int) -> None:
        """Before the descriptor is closed or given away."""
        if self._callbacks.pop(fd, None) is not None:
            del self._events[fd]
            self._epoll.unregister(fd)

    def measure(self, meter: Meter | None) -> None:
        """From the next tick on, whose time passes is written down; None: no more."""
        tick = self._tick if meter is None else partial(self._measured_tick, meter)
        self._loop.add_reader(self._epoll.fileno(), tick)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._callbacks.clear()
        self._events.clear()

    def _tick(self) -> None:
        """Calls back what is ready; again while much is, without going through the loop."""
        callbacks, poll = self._callbacks, self._epoll.poll
        self.now_ns = monotonic_ns()
        until_ns = self.now_ns + TICK_NS_MAX
        while True:
            ready = poll(0, EVENTS_MAX)
            for fd, _ in ready:
                callback = callbacks.get(fd)
                if callback is not None:  # else removed by an earlier callback of this tick
                    callback()
            if len(ready) < BUSY_EVENTS:
                return
            self.now_ns = monotonic_ns()
            if self.now_ns > until_ns:
                return

    def _measured_tick(self, meter: Meter) -> None:
        """The same, lap by lap."""
        callbacks, poll, lap = self._callbacks, self._epoll.poll, meter.lap
        self.now_ns = monotonic_ns()
        meter.begin(self.now_ns)
        until_ns = self.now_ns + TICK_NS_MAX
        while True:
            ready = poll(0, EVENTS_MAX)
            for fd, _ in ready:
                callback = callbacks.get(fd)
                if callback is not None:
                    lap(callback)
            if len(ready) < BUSY_EVENTS:
                return
            self.now_ns = monotonic_ns()
            if self.now_ns > until_ns:
                return
