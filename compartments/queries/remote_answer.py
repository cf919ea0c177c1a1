"""The body of an answer that an executor makes, as it arrives in the worker's loop.

Rule: no more than UNREAD_BYTES_MAX of it waits here; until the caller takes them its
executor waits too. That is the caller's time, not the query's, and bounded by itself: who
reads too slowly loses this answer, and nobody else anything.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from compartments.queries import frames
from engine.http.answering import asleep
from havok.errors import HavokError, SlowReader

log = logging.getLogger(__name__)

UNREAD_BYTES_MAX = 256 * 1024  # of an answer, before its executor waits; a socket's send buffer is as large


class RemoteAnswer:
    """`wake()` is called in the loop when `waiting` has ended.

    `patience_s`: how long its executor waits for the caller, in all.
    """

    def __init__(
        self, service: str, ask: frames.Ask, patience_s: float, on_close: Callable[["RemoteAnswer"], None]
    ) -> None:
        self.service = service
        self.ask = ask
        self.wake: Callable[[], None] = asleep
        self.closed = False
        self._patience_s = patience_s
        self._on_close = on_close
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: HavokError | None = None
        self._room = asyncio.Event()
        self._waited_s = 0.0
        self._waits_since_s: float | None = None

    @property
    def done(self) -> bool:
        return self._ended and not self._pieces and self._error is None

    @property
    def waiting(self) -> bool:
        """A step would give nothing now."""
        return not self._pieces and not self._ended

    @property
    def wanted(self) -> bool:
        """Somebody still waits for more of it."""
        return not self.closed and not self._ended

    @property
    def waited_s(self) -> float:
        """How long its executor has waited for the caller."""
        return self._waited_s + (0.0 if self._waits_since_s is None else monotonic() - self._waits_since_s)

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

    async def take(self, piece: bytes) -> SlowReader | None:
        """Returns when more may come, or when no more is `wanted`; with the error that has just ended it, if any."""
        if not self.wanted:
            return None
        self._pieces.append(piece)
        self._unread += len(piece)
        self._room.clear()
        self._wake()
        if not self._full():
            return None
        self._waits_since_s = monotonic()
        try:
            async with asyncio.timeout(self._patience_s - self._waited_s):
                while self._full():
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            error = SlowReader(f"the caller left its answer unread for {self._patience_s:g} s in all; it is cut off")
            self.end(error)
            return error
        finally:
            self._waited_s, self._waits_since_s = self.waited_s, None
        return None

    def _full(self) -> bool:
        return self._unread >= UNREAD_BYTES_MAX and self.wanted

    def end(self, error: HavokError | None = None) -> None:
        """Once; the first end is the answer's."""
        if self._ended:
            return
        self._ended, self._error = True, error
        self._room.set()
        if not self.closed:
            self._wake()

    def _wake(self) -> None:
        """What fails on the caller's side costs him his answer; no executor dies of it, nor its place."""
        try:
            self.wake()
        except Exception:
            log.exception("service %s: who waits for an answer failed to take it; it is given up", self.service)
            self.close()
