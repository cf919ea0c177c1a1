"""Where a response ends: as much of HTTP as it takes to pass one on.

Rule: the bytes of one response in, in pieces as they come; out come those to pass on, all of
them, unchanged, but for interim responses (1xx), which answer what was asked here already.
Responses are those of our own workers: by length, in chunks, or until the end. Whatever
else comes is no response: ValueError.
"""

import re

HEAD_BYTES_MAX = 64 * 1024  # of one of ours some hundred
_LINE_BYTES_MAX = 4096  # a chunk's size or a trailer
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ").match
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]{1,18})\r\n").search
_CLOSE = b"\r\nConnection: close\r\n"
_CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n"
_UNENDING = 1 << 62
_BODILESS = (b"204", b"304")


class Reply:
    """`done`: it is whole. `closes`: nothing comes after it on its connection."""

    __slots__ = ("_chunks", "_head_only", "_held", "_missing", "_within", "closes", "done")

    def __init__(self, *, head_only: bool) -> None:
        """`head_only`: it answers HEAD."""
        self._head_only = head_only
        self._held = b""  # of a head that is not all there
        self._within = False  # the head is through
        self._missing = 0  # of the body
        self._chunks: Chunks | None = None
        self.closes = False
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """What of it can be passed on. Raises ValueError, after which nothing holds."""
        at = 0
        if not self._within:
            data, at = self._take_head(self._held + data if self._held else data)
            if not at:
                return b""
        if self._chunks is not None:
            self._chunks.feed(data, at)
            self.done = self._chunks.done
            return data
        self._missing -= len(data) - at
        if self._missing < 0:
            raise ValueError("more than the response was sent")
        self.done = not self._missing
        return data

    def _take_head(self, data: bytes) -> tuple[bytes, int]:
        """What came, without interim responses, and where its body begins; 0 while the head is not all there."""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > HEAD_BYTES_MAX:
                    raise ValueError("the head of the response does not end")
                self._held = data
                return b"", 0
            status = _STATUS(data)
            if status is None:
                raise ValueError("this is no response")
            if status[1][:1] != b"1":
                break
            data = data[end + 4 :]
        self._held = b""
        self._within = True
        self.closes = data.find(_CLOSE, 0, end + 2) >= 0
        if self._head_only or status[1] in _BODILESS:
            return data, end + 4
        length = _LENGTH(data, 0, end + 2)
        if length is not None:
            self._missing = int(length[1])
        elif data.find(_CHUNKED, 0, end + 2) >= 0:
            self._chunks = Chunks()
        elif self.closes:
            self._missing = _UNENDING
        else:
            raise ValueError("the response does not say where it ends")
        return data, end + 4

    def end(self) -> bool:
        """Nothing more comes. Whether that is how it was to end."""
        self.done = self.done or (self._within and self._missing > _UNENDING >> 1)
        return self.done


class Chunks:
    """Where a body in chunks ends (RFC 9112, 7.1)."""

    __slots__ = ("_in_trailers", "_line", "_skip", "done")

    def __init__(self) -> None:
        self._skip = 0  # of the chunk, with the end of its line
        self._line = b""  # of a size or a trailer, as far as it came
        self._in_trailers = False
        self.done = False

    def feed(self, data: bytes, at: int) -> None:
        """What came from `at` on. Raises ValueError."""
        size = len(data)
        while at < size:
            if self.done:
                raise ValueError("more than the last chunk was sent")
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            end = data.find(b"\n", at)
            stop = size if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > _LINE_BYTES_MAX:
                raise ValueError("a chunk's line does not end")
            if end >= 0:
                line, self._line = self._line, b""
                self._take(line)

    def _take(self, line: bytes) -> None:
        if self._in_trailers:
            self.done = line == b"\r\n"
            return
        size = int(line, 16)
        if size < 0:
            raise ValueError("a chunk has no size")
        self._skip = size + 2 if size else 0
        self._in_trailers = not size
