"""What a worker and its executors say to each other, over two pipes.

Rule: a frame is a length (4 bytes, little-endian) and one msgpack value. A request or a
cancellation goes down; up come `Ready` once, then for each request pieces of the body and
one end. Only the answer to the request that was asked last is ever under way.
"""

import struct
from typing import Any

import msgspec

from engine.analysis.analytical import Analytical
from havok import errors
from havok.errors import HavokError

LENGTH = struct.Struct("<I")
FRAME_BYTES_MAX = 64 * 1024 * 1024  # of a request; parameters came in a request of at most as much
PIECE_BYTES = 64 * 1024  # a pipe's buffer; more is cut


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """`meta`: whether the answer tells its columns."""

    number: int
    analytical: Analytical
    versions: dict[str, str]
    values: dict[str, Any]
    media: str
    meta: bool


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    number: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    pid: int


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    data: bytes


class End(msgspec.Struct, frozen=True, tag="end"):
    """`code` None: the body is whole. `final`: the process ends with it. `seen`: for the log, not for the caller."""

    number: int
    code: str | None = None
    detail: str = ""
    retry_after_s: int | None = None
    final: bool = False
    seen: str = ""


Down = Ask | Cancel
Up = Ready | Piece | End

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
decode_down = msgspec.msgpack.Decoder(Down).decode
decode_up = msgspec.msgpack.Decoder(Up).decode


def frame(value: Down | Up) -> bytes:
    content = _encode(value)
    return LENGTH.pack(len(content)) + content


def plain(value: Any) -> Any:
    """A parameter in a form that msgpack has: numbers of any size and dates as the text that SQL casts."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    return str(value)


def too_long(timeout_s: float) -> str:
    """What a caller is told, whichever side ended the query."""
    return f"the query took longer than {timeout_s:g} s, all it may (executors.timeout_s); ask for less"


def rebuilt(end: End) -> HavokError:
    """The error that ended an answer, of its own class again."""
    if end.code == errors.QueryFailed.code:
        return errors.QueryFailed(end.detail, seen=end.seen)
    found = _CLASSES.get(end.code or "", errors.Internal)
    return found(end.detail, retry_after_s=end.retry_after_s)


_CLASSES: dict[str, type[HavokError]] = {
    found.code: found
    for found in (
        errors.OutOfMemory, errors.TooManyRows, errors.AnswerTooLarge, errors.NotAcceptable,
        errors.QueryTimeout, errors.StoreDown, errors.Overloaded, errors.NoVersion, errors.Internal,
    )
}  # fmt: skip
