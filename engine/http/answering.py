"""An answer that takes more than a moment: made a slice at a time, sent as it is made.

Rule: no slice takes longer than its share, and no more of an answer is held than
STREAM_BYTES beyond what its maker holds. What is whole by then has a Content-Length; what
is longer goes out in chunks (RFC 9112, 7.1), to HTTP/1.0 until the connection ends.
"""

from collections.abc import Callable
from typing import Protocol

from engine.budget import Budget
from engine.histogram import Histogram

STREAM_BYTES = 64 * 1024  # made before a first part is sent
SLICE_NS = 1_000_000  # of the loop, before others have their turn; a chunk of rows may come on top
NEXT_HEADER = b"Havok-Next"


class Running(Protocol):
    """A body being made. `cursor` is known when it is `done`, of a page with more behind it.

    While it is `waiting`, nothing can be had before it calls `wake`.
    """

    media: str
    wake: Callable[[], None]

    @property
    def done(self) -> bool: ...

    @property
    def waiting(self) -> bool: ...

    @property
    def cursor(self) -> str | None: ...

    def step(self, until_ns: int) -> bytes:
        """More of the body, until that time or nearly. Raises a HavokError."""

    def close(self) -> None:
        """It is wanted no more, or done; may be called again."""


def asleep() -> None:
    """For what nobody waits for yet."""


class Answering:
    """`start` is the head up to Content-Length, `histogram` and `budget` its service's.

    `on_end()` is called once, however it ends.
    `on_failure(error, sent)` words a problem document of an error that is being handled; `sent`: for the log alone,
    as so many bytes of the body went out before.
    """

    def __init__(
        self,
        running: Running,
        start: bytes,
        histogram: Histogram,
        budget: Budget,
        on_end: Callable[[], None],
        on_failure: Callable[[Exception, int], bytes],
        *,
        minor: int,
        close: bool,
        head_only: bool,
    ) -> None:
        self._running = running
        self._start = start
        self.histogram = histogram
        self.budget = budget
        self._on_end: Callable[[], None] | None = on_end
        self._on_failure = on_failure
        self._chunked = minor == 1
        self._keep = b"" if minor else b"Connection: keep-alive\r\n"  # HTTP/1.0 must be told that it stays
        self._head_only = head_only
        self._made: list[bytes] = []
        self._size = 0
        self._sent = 0  # of the body
        self.started = False  # its head is on its way
        self.done = False
        self.closes = close
        self.begun = b""  # to be sent before anything else

    @property
    def waiting(self) -> bool:
        return self._running.waiting

    @property
    def wake(self) -> Callable[[], None]:
        return self._running.wake

    @wake.setter
    def wake(self, wake: Callable[[], None]) -> None:
        self._running.wake = wake

    def step(self, until_ns: int) -> bytes:
        """What can be sent now; b"" while it is too little. Raises what `Running.step` raises."""
        piece = self._running.step(until_ns)
        self._size += len(piece)
        if piece and not self._head_only:
            self._made.append(piece)
        self.done = self._running.done
        if self.done:
            message = self._end()
            self.close()
            return message
        if self._head_only or self._size < STREAM_BYTES:
            return b""
        self._size = 0
        return self._part()

    def add(self, piece: bytes) -> None:
        """Made of the body before this was."""
        self._size += len(piece)
        self._made.append(piece)

    def _part(self) -> bytes:
        made = b"".join(self._made)
        self._made.clear()
        self._sent += len(made)
        lines = b""
        if not self.started:
            self.started = True
            self.closes = self.closes or not self._chunked
            lines = self._start + self._connection
            if self._chunked:
                lines += b"Transfer-Encoding: chunked\r\nTrailer: %b\r\n" % NEXT_HEADER
            lines += b"\r\n"
        return b"%b%x\r\n%b\r\n" % (lines, len(made), made) if self._chunked else lines + made

    def _end(self) -> bytes:
        cursor = self._running.cursor
        line = b"%b: %b\r\n" % (NEXT_HEADER, cursor.encode()) if cursor is not None else b""
        if self.started:
            last = b"0\r\n%b\r\n" % line if self._chunked else b""
            return (self._part() if self._made else b"") + last
        body = b"".join(self._made)
        size = self._size if self._head_only else len(body)
        return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (self._start, line, self._connection, size, body)

    @property
    def _connection(self) -> bytes:
        return b"Connection: close\r\n" if self.closes else self._keep

    def fail(self, error: Exception) -> bytes:
        """The response to send instead, when nothing was sent yet."""
        self.close()
        return self._on_failure(error, self._sent)

    def close(self) -> None:
        """Gives back what the running answer holds: it is done, failed, or the caller is gone."""
        self.done = True
        on_end, self._on_end = self._on_end, None
        try:
            self._running.close()
        finally:
            if on_end is not None:
                on_end()
