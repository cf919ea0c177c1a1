"""Order-preserving encoding of a tuple of key values to bytes.

Rule: for two tuples of the same kinds, `encode(a) < encode(b)` exactly when `a < b`,
so that a key prefix or a key range is a byte range in LMDB. Layout per element:

    string     UTF-8, 0x00 → 01 01 and 0x01 → 01 02, ended by 0x00
    int        64 bit signed, big endian, sign bit flipped
    uint       64 bit unsigned, big endian
    wide       128 bit signed, big endian, sign bit flipped
    bool       00 or 01
    date       days since 1970-01-01, as int
    timestamp  microseconds since 1970-01-01T00:00:00Z, as int

Elements of an index key may be NULL: each is preceded by 01, or is 02 alone when
NULL, which sorts last as in DuckDB. LMDB keys hold at most 511 bytes: an encoding
longer than `KEY_BYTES_MAX` becomes its first 478 bytes, 0xFF and its SHA-256, which
makes 511 exactly; the length alone tells the two forms apart. A hashed row repeats the
whole encoding at the head of its value (see `havok.rows`), where it is verified.
Order within one 478-byte prefix is lost.
"""

import datetime
import hashlib
import re
import struct
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

KeyKind = Literal["string", "int", "uint", "wide", "bool", "date", "timestamp"]
KeyValue = str | int | bool | datetime.date | datetime.datetime


class KeyColumn(msgspec.Struct, frozen=True):
    """A column of a key or an index and the kind its values are encoded as."""

    name: str
    kind: KeyKind


_KINDS: dict[str, KeyKind] = {
    "VARCHAR": "string",
    "TINYINT": "int",
    "SMALLINT": "int",
    "INTEGER": "int",
    "BIGINT": "int",
    "UTINYINT": "int",
    "USMALLINT": "int",
    "UINTEGER": "int",
    "UBIGINT": "uint",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}


def kind_of(type_text: str) -> KeyKind | None:
    """The kind that values of a column's type are encoded as; None: the type has no order-preserving form."""
    if type_text.startswith("DECIMAL(") and type_text.endswith(",0)"):
        return "wide"
    return _KINDS.get(type_text)


FIXED_BYTES: dict[KeyKind, int] = {"int": 8, "uint": 8, "wide": 16, "bool": 1, "date": 8, "timestamp": 8}
KEY_BYTES_MAX = 510  # LMDB's 511 less the one length that marks the hashed form
HASHED_BYTES = 511
_PREFIX_BYTES = HASHED_BYTES - 1 - 32

INT_BIAS = 1 << 63
WIDE_BIAS = 1 << 127
INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
UINT_MAX = (1 << 64) - 1
WIDE_MIN, WIDE_MAX = -(1 << 127), (1 << 127) - 1

_EPOCH_DATE = datetime.date(1970, 1, 1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)
_pack_uint = struct.Struct(">Q").pack


def escape(text: bytes) -> bytes:
    """UTF-8 bytes → key bytes without terminator; the identity for ordinary text."""
    if b"\x00" in text or b"\x01" in text:
        return text.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
    return text


def days(value: datetime.date) -> int:
    """Date → days since 1970-01-01."""
    return (value - _EPOCH_DATE).days


def microseconds(value: datetime.datetime) -> int:
    """Timestamp → microseconds since the epoch; a naive one is UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return (value - _EPOCH) // _MICROSECOND


def parse_date(text: str) -> int:
    """`2013-01-31` → days since 1970-01-01. Raises ValueError for anything else."""
    if _DATE.fullmatch(text) is None:
        raise ValueError(f"no ISO 8601 date: {text!r}")
    return days(datetime.date.fromisoformat(text))


def parse_timestamp(text: str) -> int:
    """`2013-01-31T05:00:00Z` → microseconds since the epoch, in UTC when no zone is named.

    Seconds, fraction and zone may be left out, and so may the whole time.
    Raises ValueError for anything else.
    """
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError(f"no ISO 8601 timestamp: {text!r}")
    return microseconds(datetime.datetime.fromisoformat(text))


def _string(value: KeyValue) -> bytes:
    return escape(str(value).encode()) + b"\x00"


def _int(value: KeyValue) -> bytes:
    return _pack_uint(int(value) + INT_BIAS)  # type: ignore[arg-type]


def _uint(value: KeyValue) -> bytes:
    return _pack_uint(int(value))  # type: ignore[arg-type]


def _wide(value: KeyValue) -> bytes:
    return (int(value) + WIDE_BIAS).to_bytes(16, "big")  # type: ignore[arg-type]


def _bool(value: KeyValue) -> bytes:
    return b"\x01" if value else b"\x00"


def _date(value: KeyValue) -> bytes:
    return _pack_uint(days(value) + INT_BIAS)  # type: ignore[arg-type]


def _timestamp(value: KeyValue) -> bytes:
    return _pack_uint(microseconds(value) + INT_BIAS)  # type: ignore[arg-type]


ELEMENT: dict[KeyKind, Callable[[KeyValue], bytes]] = {
    "string": _string,
    "int": _int,
    "uint": _uint,
    "wide": _wide,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
}


def encode(kinds: Sequence[KeyKind], values: Sequence[KeyValue]) -> bytes:
    """A key tuple (or a prefix of one) → its full encoding, of any length.

    Raises struct.error or OverflowError when an integer is outside its kind's range.
    """
    return b"".join(ELEMENT[kind](value) for kind, value in zip(kinds, values, strict=False))


def encode_nullable(kinds: Sequence[KeyKind], values: Sequence[KeyValue | None]) -> bytes:
    """The same for an index key, whose elements may be NULL."""
    return b"".join(
        b"\x02" if value is None else b"\x01" + ELEMENT[kind](value) for kind, value in zip(kinds, values, strict=False)
    )


def bounded(encoding: bytes) -> bytes:
    """Full encoding → the bytes LMDB stores it under (at most 511)."""
    if len(encoding) <= KEY_BYTES_MAX:
        return encoding
    return encoding[:_PREFIX_BYTES] + b"\xff" + hashlib.sha256(encoding).digest()


def length(kinds: Sequence[KeyKind], content: bytes, *, nullable: int = 0) -> int:
    """How many bytes at the head of `content` are the full encoding of values of these kinds.

    The first `nullable` of them are elements of an index key.
    """
    at = 0
    for number, kind in enumerate(kinds):
        if number < nullable:
            at += 1
            if content[at - 1] == 2:
                continue
        at = content.index(b"\0", at) + 1 if kind == "string" else at + FIXED_BYTES[kind]
    return at


def successor(prefix: bytes) -> bytes | None:
    """The least byte string above every string that starts with `prefix`; None: no end."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
