"""Rows by key, by key range and by index, in chunks, each row checked.

Rule: a row that fails its checksum is never yielded. Chunks are short enough that whoever
drives a query can give others their turn between two; rows read are counted against the
service's bound. Ends of a range are byte strings: start inclusive, stop exclusive.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from operator import itemgetter
from typing import Any, cast

from isal.isal_zlib import crc32

from engine.snapshot import Snapshot
from havok.errors import DamagedVersion, QueryFailed, StoreDown, TooManyRows
from havok.keys import ELEMENT, HASHED_BYTES, KEY_BYTES_MAX, KeyKind, bounded, length, successor
from havok.rows import CRC_BYTES, RESIDUE, unseal

CHUNK_ROWS = 256  # about a third of a millisecond
CHUNK_BYTES = 256 * 1024  # as long: what a chunk is aimed at where rows are wide
FIRST_ROWS = 33  # of the first chunk: most answers are short, and a page of 32 shows if there is more
SEEN_MAX = 4096  # joined rows that a service need not look up again
SEEN_BYTES_MAX = 1 << 20  # of them, by the mean of their dataset's: a worker has many services
SEEK_BYTES_MAX = 478  # of a prefix: what of a hashed key is in order, see havok.keys

Range = tuple[bytes, bytes | None]
Bound = tuple[bytes, bool]  # encoding, inclusive
Entered = list[tuple[bytes, bytes]]  # keys and values as they are stored
Entries = Iterator[tuple[bytes, bytes]]
_KEY = itemgetter(0)


class Chunk:
    """Rows in order, and whether there may be more. `keys`, of the entries that led to them, can be read once."""

    __slots__ = ("bodies", "keys", "more")

    def __init__(self, keys: Iterable[bytes], bodies: list[bytes], *, more: bool) -> None:
        self.keys = keys
        self.bodies = bodies
        self.more = more


class Scan:
    """Reads one dataset through its key or one of its indexes."""

    def __init__(self, snapshot: Snapshot, index: str | None, rows_max: int, chunk_rows: int = CHUNK_ROWS) -> None:
        self._snapshot = snapshot
        self._get = snapshot.get
        self._cursor = snapshot.cursor_of(index)
        self._kinds: tuple[KeyKind, ...] = tuple(column.kind for column in snapshot.manifest.key)
        self._index = index
        indexed = next((found.columns for found in snapshot.manifest.indexes if found.name == index), ())
        self._entry: tuple[KeyKind, ...] = (*(column.kind for column in indexed), *self._kinds)
        self._nullable = len(indexed)
        self._rows_max = rows_max
        self._chunk_rows = chunk_rows
        self._first_rows = max(1, min(FIRST_ROWS, chunk_rows, CHUNK_BYTES // (snapshot.row_bytes + 1)))

    @property
    def row_bytes(self) -> int:
        return self._snapshot.row_bytes

    def points(self, keys: Sequence[bytes]) -> Iterator[Chunk]:
        """The rows of whole keys, in their order; keys without a row are passed over."""
        if len(keys) > self._rows_max:
            raise self._too_many()
        size = self._first_rows
        for start in range(0, len(keys), size):
            part = keys[start : start + size]
            rows = [self.row(key) for key in part]
            if None in rows:
                part = [key for key, row in zip(part, rows, strict=True) if row is not None]
                rows = [row for row in rows if row is not None]
            yield Chunk(part, cast(list[bytes], rows), more=start + size < len(keys))

    def ranges(self, ranges: Sequence[Range], *, reverse: bool = False, ordered: bool = False) -> Iterator[Chunk]:
        """The rows of each range, in the order of the key or the index; the first chunks are short.

        Raises QueryFailed when they must be `ordered` and are not.
        """
        left, size, last = self._rows_max, self._first_rows, b""
        for number, (start, stop) in enumerate(ranges, 1):
            entries = self._backward(stop) if reverse else self._forward(start)
            more = True
            while more:
                wanted = min(size, left) or 1  # when none is left, one more is an error
                chunk = list(islice(entries, wanted))
                inside = _before(chunk, start) if reverse else _until(chunk, stop)
                more = inside == wanted
                if inside > left:
                    raise self._too_many()
                left -= inside
                if inside < len(chunk):
                    del chunk[inside:]
                if ordered and chunk:
                    _check_order([last, *map(_KEY, chunk)])
                    last = chunk[-1][0]
                bodies = self._bodies(chunk)
                read = sum(map(len, bodies))
                yield Chunk(map(_KEY, chunk), bodies, more=more or number < len(ranges))
                mean = read // inside if inside else 0  # fewer where rows are wide
                size = max(1, min(2 * size, self._chunk_rows, CHUNK_BYTES // (mean + 1)))

    def _forward(self, start: bytes) -> Entries:
        cursor = self._cursor()
        return cast(Entries, cursor.iternext()) if cursor.set_range(start) else iter(())

    def _backward(self, stop: bytes | None) -> Entries:
        cursor = self._cursor()
        placed = cursor.last() if stop is None or not cursor.set_range(stop) else cursor.prev()
        return cast(Entries, cursor.iterprev()) if placed else iter(())

    def _bodies(self, chunk: Entered) -> list[bytes]:
        """The rows of entries. Raises StoreDown when one or what it leads to is damaged."""
        whole = [value[:-CRC_BYTES] for key, value in chunk if crc32(value, crc32(key)) == RESIDUE]
        if len(whole) != len(chunk):
            raise self._damaged()
        if _has_hashed(chunk):  # such values begin with the key
            whole = [
                value[length(self._entry, value, nullable=self._nullable) :] if len(key) == HASHED_BYTES else value
                for (key, _), value in zip(chunk, whole, strict=True)
            ]
        if self._index is None:
            return whole
        return self._rows_of(whole)

    def _rows_of(self, encodings: list[bytes]) -> list[bytes]:
        """The rows of whole keys. Raises StoreDown when one is damaged or not there."""
        get = self._get
        rows: list[Any]
        if max(map(len, encodings), default=0) <= KEY_BYTES_MAX:  # as `row`, without its calls
            values = [get(key) for key in encodings]
            if None not in values:
                pairs = zip(encodings, cast(list[bytes], values), strict=True)
                rows = [value[:-CRC_BYTES] for key, value in pairs if crc32(value, crc32(key)) == RESIDUE]
                if len(rows) == len(encodings):
                    return rows
        rows = [self.row(key) for key in encodings]
        if None in rows:
            raise self._damaged()
        return rows

    def row(self, encoding: bytes) -> bytes | None:
        """The row of a whole key's full encoding. Raises StoreDown when it is damaged."""
        key = bounded(encoding)
        value = self._get(key)
        try:
            if value is None:
                self._snapshot.check_gap(key)
                return None
            return unseal(encoding, value)
        except DamagedVersion:
            raise self._damaged() from None

    def _damaged(self) -> StoreDown:
        self._snapshot.report_damage("a row failed its checksum")
        return StoreDown("a stored row is damaged and was not served")

    def _too_many(self) -> TooManyRows:
        return too_many(self._rows_max)


def too_many(rows_max: int) -> TooManyRows:
    return TooManyRows(f"more than {rows_max:,} rows would be read (max_rows_scanned); ask for less at a time")


def _has_hashed(chunk: Entered) -> bool:
    return HASHED_BYTES in map(len, map(_KEY, chunk))


def _check_order(keys: list[bytes]) -> None:
    """Stored keys that are hashed are in no order among those that begin alike."""
    if max(map(len, keys)) < HASHED_BYTES:
        return
    for key, following in pairwise(keys):
        hashed = HASHED_BYTES in (len(key), len(following))
        if hashed and key[:SEEK_BYTES_MAX] == following[:SEEK_BYTES_MAX]:
            raise QueryFailed(
                f"keys that agree in their first {SEEK_BYTES_MAX} bytes are stored in no order; "
                "order by an expression, which sorts: ORDER BY column || ''"
            )


def _until(chunk: Entered, stop: bytes | None) -> int:
    """How many entries of an ascending chunk are before `stop`."""
    return len(chunk) if stop is None or (chunk and chunk[-1][0] < stop) else bisect_left(chunk, (stop,))


def _before(chunk: Entered, start: bytes) -> int:
    """How many entries of a descending chunk are at `start` or after it."""
    return (
        len(chunk) if chunk and chunk[-1][0] >= start else bisect_left(chunk, True, key=lambda entry: entry[0] < start)
    )


def key_range(
    prefix: bytes, low: tuple[bytes, bool] | None, high: tuple[bytes, bool] | None, end: bytes = b""
) -> Range:
    """Ends of what begins with `prefix` and goes on between the bounds (encoding, inclusive).

    Open above, it ends before `end`.
    """
    start: bytes | None = prefix if low is None else prefix + low[0]
    if low is not None and not low[1]:
        start = successor(prefix + low[0])
    stop: bytes | None
    if high is None:
        stop = prefix + end if end else successor(prefix)
    else:
        stop = successor(prefix + high[0]) if high[1] else prefix + high[0]
    if max(len(start or b""), len(stop or b"")) > SEEK_BYTES_MAX:
        raise QueryFailed(f"the values sought are longer than {SEEK_BYTES_MAX} bytes together")
    return (start if start is not None else b"\xff" * (SEEK_BYTES_MAX + 1), stop)


def find_in(scan: Scan, kinds: Sequence[KeyKind], decode: Callable[[bytes], Any]) -> Callable[..., Any]:
    """→ a function: the values of a key → its row of a joined dataset, decoded.

    It gives None where there is none or a value is NULL. The last thousands are remembered as
    long as the version is served.
    """
    encode, row, seen = [ELEMENT[kind] for kind in kinds], scan.row, dict[Any, Any]()
    most = max(1, min(SEEN_MAX, SEEN_BYTES_MAX // (scan.row_bytes + 1)))
    if len(encode) == 1:  # most keys are of one column: no tuple is made of it
        (encode_one,) = encode

        def find_one(value: Any) -> Any:
            if value in seen:
                return seen[value]
            body = None if value is None else row(encode_one(value))
            found = None if body is None else decode(body)
            _remember(seen, value, found, most)
            return found

        return find_one

    def find(*values: Any) -> Any:
        if values in seen:
            return seen[values]
        body = None if None in values else row(b"".join([f(v) for f, v in zip(encode, values, strict=True)]))
        found = None if body is None else decode(body)
        _remember(seen, values, found, most)
        return found

    return find


def _remember(seen: dict[Any, Any], key: Any, found: Any, most: int) -> None:
    if len(seen) >= most:
        for first in list(islice(seen, most // 16 + 1)):
            del seen[first]
    seen[key] = found
