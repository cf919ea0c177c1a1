"""What a generated query does besides its loop: it sorts, cuts a page, and goes on after a cursor.

Rule: nothing here takes longer than a chunk of rows without yielding. A cursor is a position
in the order of the rows, not a count of them: in scan order the key of the last row, in a
sorted answer the values it is sorted by and its key, so that it holds for other versions of
the data as well. It is of the parameters it was made with, but for those of LIMIT and OFFSET:
behind the place of other rows some would be left out. A grouped answer has no such position;
its cursors count groups and hold for the versions they were made on alone.
"""

import base64
import datetime
import hashlib
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from heapq import merge
from itertools import islice
from typing import Annotated, Any
from zlib import crc32

import msgspec

from engine.queries.expression import Expression, arguments
from engine.queries.query import Query
from engine.queries.scan import Range
from engine.sqltype import TIMESTAMPTZ, VALUES, family
from havok.errors import BadParam, QueryFailed, TooManyRows
from havok.keys import HASHED_BYTES, INT_MIN, UINT_MAX, successor

PART_ROWS = 128  # answered at once
PART_BYTES = 256 * 1024  # as long: what a part is aimed at where rows are wide
WIDE_ROWS = 8  # fewer are one part, however wide
RUN_ROWS = 1024  # sorted at once, in half a millisecond; a millisecond and a half by a double that may be NaN
FREED_ROWS = 2048  # let go of at once, in a millisecond
HELD_BYTES_MAX = 64 << 20  # of rows that wait for others to be sorted
CURSOR_CHARS_MAX = 4096
SAMPLED = 8  # one value of so many

Order = Sequence[tuple[Callable[[Any], Any], bool]]  # (key, whether it descends)
Position = tuple[Any, ...]
_NOT_OURS = "cursor must be the next of an earlier answer, unchanged"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_encode = msgspec.msgpack.encode


def parts(rows: list[Any], *, narrow: bool = False) -> Iterator[list[Any]]:
    """What was taken is let go of: to free all of it at the end would take as long as a hundred parts.

    `narrow`: how wide they are need not be looked at.
    """
    size = PART_ROWS
    if not narrow and len(rows) >= WIDE_ROWS:
        size = max(1, min(PART_ROWS, PART_BYTES // _width(rows)))
    if len(rows) <= size:
        yield rows
        return
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        rows[start : start + size] = [None] * len(part)
        yield part


def _width(rows: list[Any]) -> int:
    """Bytes of the widest of three."""
    return max(8, *map(_bytes, (rows[0], rows[len(rows) // 2], rows[-1])))


def _bytes(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, msgspec.Raw):
        return memoryview(value).nbytes
    parts = msgspec.structs.astuple(value) if isinstance(value, msgspec.Struct) else value
    return sum(map(_bytes, parts)) if isinstance(parts, tuple) else 8


def shortened(rows: list[Any], length: int) -> Iterator[tuple[()]]:
    """Cuts the list in place."""
    while len(rows) > length + FREED_ROWS:
        del rows[-FREED_ROWS:]
        yield ()
    del rows[length:]


def emptied(values: set[Any] | dict[Any, Any]) -> Iterator[tuple[()]]:
    take = values.popitem if isinstance(values, dict) else values.pop
    while len(values) > FREED_ROWS:
        for _ in range(FREED_ROWS):
            take()
        yield ()


def in_order(rows: list[Any], order: Order) -> Iterator[tuple[()]]:
    """Sorts in place; rows that are equal stay as they were. Many are sorted in runs, which are merged."""
    for key, descends in reversed(order):
        if len(rows) <= 2 * RUN_ROWS:
            rows.sort(key=key, reverse=descends)
            continue
        runs = []
        for start in range(0, len(rows), RUN_ROWS):
            runs.append(sorted(rows[start : start + RUN_ROWS], key=key, reverse=descends))
            yield ()
        merged = merge(*runs, key=key, reverse=descends)
        at = 0
        while piece := list(islice(merged, RUN_ROWS // 2)):
            rows[at : at + len(piece)] = piece
            at += len(piece)
            yield ()


def best(numbers: range, columns: Sequence[Sequence[Any]], enough: int, descends: bool) -> Iterable[tuple[Any, ...]]:
    """(number, value of each column) of a chunk's rows, without most that `enough` others come before.

    They are sorted by the first column first. A sample says where a bar may be; it is one if as many reach it.
    To sort all would cost more, and each of them to be made and freed.
    """
    values = columns[0]
    place = 2 * enough // SAMPLED + 2
    sample = sorted(values[::SAMPLED])
    if 2 * place <= len(sample):
        bar = sample[-place] if descends else sample[place - 1]
        pairs = zip(numbers, values, strict=True)
        if descends:
            found = [(number, value) for number, value in pairs if value >= bar]
        else:
            found = [(number, value) for number, value in pairs if value <= bar]
        if len(found) >= enough:
            if len(columns) == 1:
                return found
            start = numbers[0]
            return [(number, *[column[number - start] for column in columns]) for number, _ in found]
    return zip(numbers, *columns, strict=True)


def beyond(order: Order, after: Position, *, reverse: bool = False) -> Callable[[Any], bool]:
    """Whether a kept row comes after the position; rows that sort alike are in the order they are read in."""
    last = (None, *after)
    bounds = [(key, key(last), descends) for key, descends in order]
    end = after[-1]

    def past(row: Any) -> bool:
        for key, bound, descends in bounds:
            value = key(row)
            if value != bound:
                return bool(value < bound) if descends else bool(value > bound)
        return bool(row[-1] < end) if reverse else bool(row[-1] > end)

    return past


def cut(ranges: Sequence[Range], after: Position, *, reverse: bool = False) -> list[Range]:
    """What is left of ranges behind the key of a row."""
    key: bytes = after[0]
    if len(key) > HASHED_BYTES:
        raise BadParam("cursor", "cursor", _NOT_OURS)
    if reverse:
        return [(start, key if stop is None else min(stop, key)) for start, stop in ranges if start < key]
    begin = key + b"\0" if len(key) < HASHED_BYTES else successor(key)
    if begin is None:
        return []
    return [(max(start, begin), stop) for start, stop in ranges if stop is None or stop > begin]


def behind(keys: Sequence[bytes], after: Position) -> list[bytes]:
    """The same of single keys, in ascending order."""
    return [key for key in keys if key > after[0]]


def too_wide() -> TooManyRows:
    return TooManyRows(f"the rows to be sorted take more than {HELD_BYTES_MAX >> 20} MiB; ask for less at a time")


def too_many_members(members_max: int) -> TooManyRows:
    return TooManyRows(f"the lists together ask for more than {members_max} keys; send fewer values at a time")


class Cursors:
    """The cursors of one query: positions ↔ text that a caller hands back."""

    def __init__(self, query: Query, params: Sequence[str], versions: str) -> None:
        """`params`: names of the parameters; `versions`: of the datasets read, as one text."""
        self.survives = not query.is_grouped
        shape = (query.sql, query.seek.index, [column.name for column in query.seek.columns], query.seek.reverse)
        self._shape = hashlib.blake2b(_encode(shape), digest_size=4).digest()
        self._versions = b"" if self.survives else hashlib.blake2b(versions.encode(), digest_size=4).digest()
        self._deciding = _deciding(query, params)
        values: list[Any] = [Annotated[int, msgspec.Meta(ge=0)]]
        if self.survives:
            order = () if query.is_in_scan_order else query.order
            values = [_stored_as(item.value) for item in order] + [bytes]
        self._decode = msgspec.msgpack.Decoder(tuple[(bytes, bytes, int, *values)]).decode  # type: ignore[valid-type]

    def text(self, position: Position, given: Sequence[Any]) -> str:
        """`given`: values of the parameters."""
        raw = _encode((self._shape, self._versions, self._mark(given), *map(_bounded, position)))
        text = b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()
        if len(text) > CURSOR_CHARS_MAX:
            raise QueryFailed(
                "the values that the next page would begin with are too long for a cursor; ask for more rows"
            )
        return text

    def position(self, text: str, given: Sequence[Any]) -> Position:
        """Raises BadParam for what is no cursor of this service and these parameters, or one that holds no more."""
        try:
            if len(text) > CURSOR_CHARS_MAX:
                raise ValueError
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            shape, versions, mark, *position = self._decode(raw)
            if any(isinstance(value, Decimal) and not value.is_finite() for value in position):
                raise ValueError
        except (ValueError, msgspec.DecodeError):  # a ValidationError is one, text that is no base64 a ValueError
            raise BadParam("cursor", "cursor", _NOT_OURS) from None
        if shape != self._shape:
            detail = (
                "the service, or the index it reads by, was changed since this cursor was made; "
                "begin with the first page again"
            )
            raise BadParam("cursor", "cursor", detail)
        if versions != self._versions:
            detail = "the data changed since this cursor was made, and groups have no place to go on from; begin again"
            raise BadParam("cursor", "cursor", detail)
        if mark != self._mark(given):
            detail = (
                "this cursor was made with other parameters; send the same again (those of LIMIT and OFFSET are free), "
                "or begin with the first page"
            )
            raise BadParam("cursor", "cursor", detail)
        return tuple(position)

    def _mark(self, given: Sequence[Any]) -> int:
        """Of the values that decide which rows there are, and in which order."""
        values = [given[number] for number in self._deciding]
        try:
            return crc32(_encode(values))
        except OverflowError:  # an integer beyond 64 bits
            return crc32(repr(values).encode())


def _deciding(query: Query, params: Sequence[str]) -> list[int]:
    """Numbers of the parameters that stand elsewhere than in LIMIT and OFFSET."""
    seek = query.seek
    parts: list[Expression | None] = [value for values in seek.equals for value in values]
    parts += [bound.value for bound in (seek.low, seek.high) if bound is not None]
    parts += [value for lookup in query.lookups for value in lookup.key]
    parts += [query.where, query.having, *(query.groups or ())]
    parts += [part for item in query.aggregates for part in (item.arg, item.only)]
    parts += [*(item.value for item in query.order), *(item.value for item in query.outputs)]
    names = {name for part in parts if part is not None for name in arguments(part)}
    return [number for number, name in enumerate(params) if name in names]


def _stored_as(expression: Expression) -> Any:
    """What a value of it is in a cursor."""
    kind = expression.type
    found = family(kind)
    value: Any = VALUES[found]
    if kind == "HUGEINT":
        value = int | Decimal
    elif found == "moment":
        value = Annotated[datetime.datetime, msgspec.Meta(tz=kind == TIMESTAMPTZ)]
    return value | None if expression.nullable else value


def _bounded(value: Any) -> Any:
    """An integer beyond 64 bits as a decimal, which compares with integers."""
    return Decimal(value) if type(value) is int and not INT_MIN <= value <= UINT_MAX else value
