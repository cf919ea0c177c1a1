"""The body of a request: by length or in chunks, taken as it comes.

Rule: `feed(data)` takes what belongs to the body and says how many bytes that was; the
rest is the next request. Grammar of chunks is RFC 9112, 7.1, and nothing more lenient:
CR LF ends every line, sizes are hexadecimal digits.
"""

import re

from engine.http.head import BODY_BYTES_MAX
from havok.errors import BadRequest, BodyTooLarge

_SIZE_LINE_MAX = 256  # a size and extensions nobody uses; nginx allows little more
_TRAILERS_MAX = 4096
_CHUNKS_MAX = 16 * 1024  # 64 bytes each in the longest body; smaller ones only cost us
# No blank before the `;`: the RFC calls it bad, and other parsers refuse it.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t !-~\x80-\xff]*)?").fullmatch
# Fields that frame or route a message have no business in a trailer (RFC 9110, 6.5.1).
_TRAILER = re.compile(
    rb"(?!(?:content-length|transfer-encoding|host):)[!#$%&'*+.^_`|~0-9a-z-]+:[\t !-~\x80-\xff]*", re.IGNORECASE
).fullmatch


class LengthBody:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self._content = bytearray()
        self._missing = length

    @property
    def complete(self) -> bool:
        return self._missing == 0

    def feed(self, data: bytes) -> int:
        part = data[: self._missing]
        self._content += part
        self._missing -= len(part)
        return len(part)

    def content(self) -> bytes:
        return bytes(self._content)


class ChunkedBody:
    """A body in chunks. Raises BadRequest or BodyTooLarge; trailers are dropped."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._size = 0
        self._chunks = 0
        self._line = b""  # of a size line, a chunk's end or a trailer, as far as it came
        self._missing = 0  # of the chunk being read
        self._in_trailers = False
        self._trailer_bytes = 0
        self._at_chunk_end = False
        self.complete = False

    def feed(self, data: bytes) -> int:
        position = 0
        while position < len(data) and not self.complete:
            if self._missing:
                part = data[position : position + self._missing]
                self._content += part
                self._missing -= len(part)
                self._at_chunk_end = self._missing == 0
                position += len(part)
            else:
                position = self._feed_line(data, position)
        return position

    def _feed_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        if len(self._line) > (_TRAILERS_MAX if self._in_trailers else _SIZE_LINE_MAX):
            raise BadRequest("a chunk line is too long")
        if end >= 0:
            line, self._line = self._line, b""
            if line[-2:] != b"\r\n":
                raise BadRequest("a chunk line must end in CR LF")
            self._take_line(line[:-2])
        return stop

    def _take_line(self, line: bytes) -> None:
        if self._at_chunk_end:
            if line:
                raise BadRequest("a chunk is longer than its size says")
            self._at_chunk_end = False
        elif self._in_trailers:
            self._take_trailer(line)
        else:
            match = _SIZE(line)
            if match is None:
                raise BadRequest("a chunk size is malformed")
            self._missing = int(match[1], 16)
            self._size += self._missing
            if self._size > BODY_BYTES_MAX:
                raise BodyTooLarge(f"the body is longer than {BODY_BYTES_MAX} bytes; send fewer keys at a time")
            self._chunks += 1
            if self._chunks > _CHUNKS_MAX:
                raise BadRequest(f"more than {_CHUNKS_MAX} chunks; send larger ones")
            self._in_trailers = self._missing == 0

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILERS_MAX or _TRAILER(line) is None:
            raise BadRequest("the trailers are malformed or too long")

    def content(self) -> bytes:
        return bytes(self._content)


Body = LengthBody | ChunkedBody
