"""A request that went to another worker alone, and its answer on the way back.

Rule: the other worker sees what it would see of the client itself: the bytes of the request on a
connection, then the client's end if there is one. Answers come back as they were sent, in order, and
no more than one read of them waits here: while the client does not read, neither do we.

A `Line` is our end of a socket pair whose other end the other worker serves as any client's; it
carries one request at a time and is kept for the next. Where lines come from is not known here.
"""

import os
import socket
from collections.abc import Callable
from typing import Protocol

from engine.http.answering import asleep
from engine.http.head import Head
from engine.http.reactor import READ, WRITE, Reactor
from engine.http.reply import Reply
from engine.http.route import Elsewhere
from havok.errors import HavokError, Overloaded

_FIRST_BYTES = 8 * 1024  # most answers; a larger read costs more in malloc
_MORE_BYTES = 64 * 1024  # of an answer that is longer
_SAFE = frozenset({b"GET", b"HEAD"})

_read = os.read
_write = os.write


class Relay:
    """Made for one request. `wake()` is called when `waiting` has ended.

    `on_failure(error)` words a problem document; it is sent when nothing else was yet.
    """

    __slots__ = (
        "_on_failure",
        "_piece",
        "_reply",
        "_safe",
        "begun",
        "closed",
        "closes",
        "done",
        "ended",
        "error",
        "failed_at",
        "head_only",
        "line",
        "request",
        "since_ns",
        "started",
        "target",
        "wake",
    )

    def __init__(
        self, request: bytes, head: Head, target: Elsewhere, on_failure: Callable[[HavokError], bytes], now_ns: int
    ) -> None:
        self.request = request
        self.target = target
        self.head_only = head.method == b"HEAD"
        self._safe = head.method in _SAFE
        self._on_failure = on_failure
        self._reply = Reply(head_only=self.head_only)
        self._piece = b""
        self.since_ns = now_ns  # it waits for a line, or for more of its answer
        self.line: Line | None = None  # none while it waits for one, or when the line was given back
        self.failed_at: str | None = None  # the place where it was tried in vain
        self.error: HavokError | None = None
        self.ended = False  # nothing more comes
        self.closed = False  # nothing more is wanted
        # What `Connection` asks of an answer that is made elsewhere:
        self.wake: Callable[[], None] = asleep
        self.begun = b""
        self.closes = False
        self.started = False
        self.done = False

    @property
    def waiting(self) -> bool:
        return not self._piece and not self.ended

    @property
    def is_full(self) -> bool:
        """What came last is not taken yet."""
        return bool(self._piece)

    def take(self) -> bytes | None:
        """What can be sent now. None: it failed after a part was sent, and cannot be saved."""
        if self.error is not None:
            self.done = True
            return None if self.started else self._on_failure(self.error)
        piece, self._piece = self._piece, b""
        self.started = self.started or bool(piece)
        self.done = self.ended
        if self.line is not None:
            self.line.go_on()
        return piece

    def close(self) -> None:
        """The client is gone, or has it all."""
        self.closed = True
        line, self.line = self.line, None
        if line is not None:  # what is left of the answer would come first of the next
            line.lose()

    def hang_up(self) -> bool:
        """The client has ended its side; the other worker is told so. False when nobody is there to tell."""
        self._safe = False  # whatever comes of it, it is not asked again
        return self.line is not None and self.line.hang_up()

    # -- the line's side ---------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Raises ValueError when that is no answer."""
        self._piece = self._reply.feed(data)
        self.ended = self._reply.done
        self.closes = self._reply.closes

    def end(self) -> bool:
        """The other worker ended the connection; whether the answer was whole then."""
        self.ended = self.closes = self._reply.end()
        return self.ended

    def again(self, place: str, *, untouched: bool) -> bool:
        """Whether it may be tried once more; `untouched`: not a byte of it was sent to that place."""
        self.line = None
        if self.started or self.closed or self.failed_at is not None or not (self._safe or untouched):
            return False
        self.failed_at = place
        self._piece = b""
        self._reply = Reply(head_only=self.head_only)
        return True

    def fail(self, detail: str) -> None:
        if not self.ended:
            self.ended = True
            self._piece = b""
            self.error = Overloaded(detail, retry_after_s=1)


class Owner(Protocol):
    """Whose lines they are."""

    def is_free(self, line: "Line") -> None:
        """It can carry the next request."""

    def is_lost(self, line: "Line", relay: Relay | None, *, untouched: bool) -> None:
        """It is closed; `relay` is what had not ended on it."""


class Line:
    """`place` says where it leads; that is its owner's."""

    __slots__ = (
        "_hung",
        "_owner",
        "_paused",
        "_reactor",
        "_rest",
        "_sent",
        "_size",
        "fd",
        "place",
        "relay",
        "since_ns",
        "sock",
    )

    def __init__(self, reactor: Reactor, sock: socket.socket, place: str, owner: Owner) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.place = place
        self.relay: Relay | None = None
        self.since_ns = reactor.now_ns  # idle since
        self._owner = owner
        self._reactor = reactor
        self._rest = memoryview(b"")  # of the request
        self._sent = False
        self._hung = False
        self._paused = False
        self._size = _FIRST_BYTES
        reactor.add(self.fd, self._on_ready)

    def ask(self, relay: Relay) -> None:
        self.relay = relay
        relay.line = self
        relay.since_ns = self._reactor.now_ns
        self._sent = False
        self._size = _FIRST_BYTES
        self._rest = memoryview(relay.request)
        self._write()

    def _write(self) -> None:
        try:
            sent = _write(self.fd, self._rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.lose()
            return
        blocked = len(self._rest) - sent
        self._sent = self._sent or sent > 0
        self._rest = self._rest[sent:]
        if blocked:
            self._reactor.change(self.fd, self._on_ready_for_both, READ | WRITE)

    def _on_ready_for_both(self) -> None:
        """A request longer than the socket takes; an answer to it may come before it is all sent."""
        self._write()
        if self.sock.fileno() >= 0:
            if not self._rest:
                self._reactor.change(self.fd, self._on_ready, READ)
            self._on_ready()

    def _on_ready(self) -> None:
        relay = self.relay
        if relay is not None and relay.is_full:
            self._reactor.remove(self.fd)  # rather than to hear nothing: an end would be told all the same
            self._paused = True
            return
        try:
            data = _read(self.fd, self._size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if relay is None or not data:  # one that is idle has nothing to say but its end
            self._on_end()
            return
        try:
            relay.feed(data)
        except ValueError:
            self.lose()
            return
        self._size = _MORE_BYTES
        relay.since_ns = self._reactor.now_ns
        if relay.ended:
            relay.line = self.relay = None
            self.since_ns = relay.since_ns
            if relay.closes or self._hung or self._rest:
                self.lose()
            else:
                self._owner.is_free(self)
        if relay.ended or relay.is_full:
            relay.wake()

    def _on_end(self) -> None:
        relay = self.relay
        if relay is not None and relay.end():
            relay.line = self.relay = None
            self.lose()
            relay.wake()
        else:
            self.lose()

    def go_on(self) -> None:
        """What was read is taken."""
        if self._paused:
            self._paused = False
            if self._rest:
                self._reactor.add(self.fd, self._on_ready_for_both, READ | WRITE)
            else:
                self._reactor.add(self.fd, self._on_ready)

    def hang_up(self) -> bool:
        """Ends our side, when all was sent."""
        if self._rest:
            return False
        self._hung = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def lose(self) -> None:
        """Closes it; its owner sees to what it carried."""
        if self.sock.fileno() < 0:
            return
        self._reactor.remove(self.fd)
        self.sock.close()
        relay, self.relay = self.relay, None
        self._owner.is_lost(self, relay, untouched=not self._sent)
