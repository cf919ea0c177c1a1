"""Rows by key, by key range and by index, in chunks, each row checked.

Rule: a row that fails its checksum is never yielded. Chunks are short enough that whoever
drives a query can give others their turn between two; rows read are counted against the
service's bound. Ends of a range are byte strings: start inclusive, stop exclusive.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from isal.isal_zlib import crc32

from engine.snapshot import Snapshot
from havok.errors import DamagedVersion, QueryFailed, StoreDown, TooManyRows
from havok.keys import ELEMENT, HASHED_BYTES, KeyKind, bounded, length, successor
from havok.rows import CRC_BYTES, RESIDUE, unseal

CHUNK_ROWS = 256  # about a third of a millisecond
FIRST_ROWS = 32  # of the first chunk: most answers are short
SEEK_BYTES_MAX = 478  # of a prefix: what of a hashed key is in order, see havok.keys

Range = tuple[bytes, bytes | None]
Bound = tuple[bytes, bool]  # encoding, inclusive
Entries = Iterator[tuple[bytes, bytes]]


class Scan:
    """Reads one dataset through its key or one of its indexes."""

    def __init__(self, snapshot: Snapshot, index: str | None, rows_max: int) -> None:
        self._snapshot = snapshot
        self._get = snapshot.get
        self._cursor = snapshot.cursor_of(index)
        self._kinds: tuple[KeyKind, ...] = tuple(column.kind for column in snapshot.manifest.key)
        self._index = index
        indexed = next((found.columns for found in snapshot.manifest.indexes if found.name == index), ())
        self._entry: tuple[KeyKind, ...] = (*(column.kind for column in indexed), *self._kinds)
        self._nullable = len(indexed)
        self._rows_max = rows_max

    def points(self, keys: Iterable[bytes]) -> Iterator[list[bytes]]:
        """The rows of whole keys, in their order; keys without a row are passed over."""
        found: list[bytes] = []
        for number, key in enumerate(keys):
            if number >= self._rows_max:
                raise self._too_many()
            body = self.row(key)
            if body is not None:
                found.append(body)
            if len(found) == CHUNK_ROWS:
                yield found
                found = []
        if found:
            yield found

    def ranges(self, ranges: Sequence[Range], *, reverse: bool = False) -> Iterator[list[bytes]]:
        """The rows of each range, in the order of the key or the index; the first chunks are short."""
        left, size = self._rows_max, FIRST_ROWS
        for start, stop in ranges:
            entries = self._backward(stop) if reverse else self._forward(start)
            more = True
            while more:
                chunk = list(islice(entries, size))
                inside = _before(chunk, start) if reverse else _until(chunk, stop)
                more = inside == size
                left -= inside
                if left < 0:
                    raise self._too_many()
                if inside:
                    yield self._bodies(chunk[:inside] if inside < len(chunk) else chunk)
                size = min(2 * size, CHUNK_ROWS)

    def _forward(self, start: bytes) -> Entries:
        cursor = self._cursor()
        return cast(Entries, cursor.iternext()) if cursor.set_range(start) else iter(())

    def _backward(self, stop: bytes | None) -> Entries:
        cursor = self._cursor()
        placed = cursor.last() if stop is None or not cursor.set_range(stop) else cursor.prev()
        return cast(Entries, cursor.iterprev()) if placed else iter(())

    def _bodies(self, chunk: list[tuple[bytes, bytes]]) -> list[bytes]:
        """The rows of entries. Raises StoreDown when one or what it leads to is damaged."""
        whole = [value[:-CRC_BYTES] for key, value in chunk if crc32(value, crc32(key)) == RESIDUE]
        if len(whole) != len(chunk):
            raise self._damaged()
        if HASHED_BYTES in [len(key) for key, _ in chunk]:  # such values begin with the key
            whole = [
                value[length(self._entry, value, nullable=self._nullable) :] if len(key) == HASHED_BYTES else value
                for (key, _), value in zip(chunk, whole, strict=True)
            ]
        if self._index is None:
            return whole
        rows = [self.row(key) for key in whole]
        if None in rows:
            raise self._damaged()
        return cast(list[bytes], rows)

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
        return TooManyRows(f"the answer takes more than {self._rows_max} rows; ask for less at a time")


def _until(chunk: list[tuple[bytes, bytes]], stop: bytes | None) -> int:
    """How many entries of an ascending chunk are before `stop`."""
    return len(chunk) if stop is None or (chunk and chunk[-1][0] < stop) else bisect_left(chunk, (stop,))


def _before(chunk: list[tuple[bytes, bytes]], start: bytes) -> int:
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


class Found:
    """Rows of a joined dataset, each looked up once in a request."""

    def __init__(self, scan: Scan, kinds: Sequence[KeyKind], decode: Callable[[bytes], Any]) -> None:
        self._scan = scan
        self._encode = [ELEMENT[kind] for kind in kinds]
        self._decode = decode

    def begin(self) -> Callable[..., Any]:
        """→ the row of a key's values, decoded; None where there is none or a value is NULL."""
        seen: dict[tuple[Any, ...], Any] = {}
        encode, decode, row = self._encode, self._decode, self._scan.row

        def find(*values: Any) -> Any:
            if values in seen:
                return seen[values]
            body = None if None in values else row(b"".join([f(v) for f, v in zip(encode, values, strict=True)]))
            found = seen[values] = None if body is None else decode(body)
            return found

        return find
