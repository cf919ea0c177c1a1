"""Rows by key range and by index from blocks of columns, in chunks, each section checked.

Rule: as `engine.queries.scan`, whose bounds and ends it has, for queries all of whose columns
are packed: of a block only the sections that are needed are read, and of rows none but the keys
beside a block, to see that none is missing. Columns come as values, whole chunks of them; what
only an answer needs is taken out of the rows that are answered.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import lmdb

from engine.queries.scan import Range, too_many
from engine.snapshot import Snapshot
from havok.blocks import Block
from havok.errors import DamagedVersion, StoreDown
from havok.packing import Unpacker

Take = tuple[int, Unpacker]  # number of a section, what unpacks it


class BlockChunk:
    """Neighbours in one block, in the order they are asked for. `columns`: a sequence of values each.

    `numbers`: of its rows, among all that the scan has found.
    """

    __slots__ = ("_block", "_damaged", "_first", "_last", "_late", "_reverse", "columns", "more", "numbers")

    def __init__(
        self,
        block: Block,
        place: tuple[int, int],
        take: tuple[Sequence[Take], Sequence[Take]],
        start: int,
        *,
        reverse: bool,
        more: bool,
    ) -> None:
        """`place`: the first row and the end. `take`: what is wanted now and what late. `start`: its first number.

        Raises DamagedVersion.
        """
        first, last = place
        now, self._late = take
        count = block.count
        columns = [unpacker.many(block.section(section), count, first, last) for section, unpacker in now]
        self.columns = [column[::-1] for column in columns] if reverse else columns
        self.numbers = range(start, start + last - first)
        self.more = more
        self._block = block
        self._first, self._last, self._reverse = first, last, reverse

    def empty(self) -> None:
        """Lets go of `columns`; keys and what is wanted late can still be asked for."""
        self.columns = []

    def keys(self) -> list[bytes]:
        """The stored keys of the rows."""
        found = self._block.keys(self._first, self._last)
        return found[::-1] if self._reverse else found

    def key(self, number: int) -> bytes:
        """The stored key of one of `numbers`."""
        return self._block.key(self._place(number))

    def late(self, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """What is wanted late of some of `numbers`. Raises DamagedVersion."""
        block, start = self._block, self.numbers.start
        if self._reverse:
            end = self._last - 1 + start
            places = [end - number for number in numbers]
        else:
            begin = self._first - start
            places = [begin + number for number in numbers]
        columns = [unpacker.some(block.section(section), block.count, places) for section, unpacker in self._late]
        return zip(*columns, strict=True)

    def _place(self, number: int) -> int:
        at = number - self.numbers.start
        return self._last - 1 - at if self._reverse else self._first + at


class BlockScan:
    """Reads one dataset's blocks in the order of its key or of one of its indexes."""

    def __init__(
        self,
        snapshot: Snapshot,
        index: str | None,
        rows_max: int,
        columns: tuple[Sequence[str], Sequence[str]],
        sizes: tuple[int, int],
    ) -> None:
        """`columns`: those wanted of every row, and those wanted late. `sizes`: of the first chunk, and of any.

        Raises DamagedVersion.
        """
        assert snapshot.manifest.blocks is not None, "asked for only where there are blocks"
        self._snapshot = snapshot
        self._cursor = snapshot.blocks_of(index)
        self._entries = snapshot.cursor_of(index)
        self._rows_max = rows_max
        self._sizes = sizes
        numbered = {packed.name: (number, packed) for number, packed in enumerate(snapshot.manifest.blocks.columns, 1)}
        unpackers: dict[str, Take] = {}
        for name in {*columns[0], *columns[1]}:
            number, packed = numbered[name]
            words = snapshot.words(name) if packed.form == "word" else ()
            unpackers[name] = number, Unpacker(packed, words)
        self._take = [unpackers[name] for name in columns[0]], [unpackers[name] for name in columns[1]]

    def ranges(self, ranges: Sequence[Range], *, reverse: bool = False, ordered: bool = False) -> Iterator[BlockChunk]:
        """The rows of each range, in order; the first chunks are short. `ordered` or not: blocks always are."""
        found, (size, most) = 0, self._sizes
        for number, (start, stop) in enumerate(ranges, 1):
            is_last = number == len(ranges)
            for block, first, last, ended in self._spans(start, stop, reverse):
                while first < last:
                    if found == self._rows_max:
                        raise too_many(self._rows_max)
                    taken = min(size, self._rows_max - found, last - first)
                    place = (last - taken, last) if reverse else (first, first + taken)
                    more = not (is_last and ended and taken == last - first)
                    try:
                        chunk = BlockChunk(block, place, self._take, found, reverse=reverse, more=more)
                    except DamagedVersion as error:
                        raise damaged(self._snapshot, error) from None
                    yield chunk
                    found += taken
                    first, last = (first, place[0]) if reverse else (place[1], last)
                    size = min(2 * size, most)

    def _spans(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[tuple[Block, int, int, bool]]:
        """(block, first row in the range, end, whether no other block follows)."""
        try:
            yield from self._backward(start, stop) if reverse else self._forward(start, stop)
        except DamagedVersion as error:
            raise damaged(self._snapshot, error) from None

    def _forward(self, start: bytes, stop: bytes | None) -> Iterator[tuple[Block, int, int, bool]]:
        cursor = self._cursor()
        if not cursor.set_range(start):
            key = _key(cursor, found=cursor.last())
        elif bytes(cursor.key()) == start or cursor.prev():
            key = _key(cursor, found=True)
        else:
            key = _key(cursor, found=cursor.first())
        if key is None or key > start:
            self._check(key == self._after(b""))
        while key is not None and (stop is None or key < stop):
            block = Block(key, memoryview(cursor.value()))
            first, last, end = block.place(start) if key < start else 0, block.count, block.key(block.count - 1)
            if stop is not None and end >= stop:
                last = block.place(stop)
            yield block, first, last, last < block.count
            if last < block.count:
                return
            key = _key(cursor, found=cursor.next())
            self._check(key == self._after(end + b"\0"))

    def _backward(self, start: bytes, stop: bytes | None) -> Iterator[tuple[Block, int, int, bool]]:
        cursor = self._cursor()
        key = _key(cursor, found=cursor.prev() if stop is not None and cursor.set_range(stop) else cursor.last())
        before: bytes | None = None  # the block behind: where this one ends
        if key is None:
            self._check(self._before(stop) is None)
        while key is not None:
            block = Block(key, memoryview(cursor.value()))
            first, last, end = block.place(start) if key < start else 0, block.count, block.key(block.count - 1)
            if before is None and stop is not None and end >= stop:
                last = block.place(stop)
            else:
                self._check(end == (before or self._before(stop)))
            yield block, first, last, key <= start
            if key <= start:
                return
            before = self._before(key)
            key = _key(cursor, found=cursor.prev())
            self._check((before is None) == (key is None))

    # Neither a block's own checksum nor those of others tell that a fault in a branch page led past some. The rows,
    # or the entries of the index, stand in another tree, and say what is next to a block.

    def _after(self, key: bytes) -> bytes | None:
        """The first stored key of the rows, or of the index, from one on."""
        cursor = self._entries()
        return _key(cursor, found=cursor.set_range(key))

    def _before(self, key: bytes | None) -> bytes | None:
        """The last one before it."""
        cursor = self._entries()
        return _key(cursor, found=cursor.prev() if key is not None and cursor.set_range(key) else cursor.last())

    def _check(self, agree: bool) -> None:
        if not agree:
            raise DamagedVersion("blocks of columns are not where the rows are")


def _key(cursor: lmdb.Cursor, *, found: bool) -> bytes | None:
    return bytes(cursor.key()) if found else None


def late_rows(snapshot: Snapshot, chunks: Sequence[BlockChunk], numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    """What is wanted late of numbered rows, in their order. Raises StoreDown."""
    try:
        if len(chunks) == 1:
            return list(chunks[0].late(numbers))
        starts = [chunk.numbers.start for chunk in chunks]
        places = [bisect_right(starts, number) - 1 for number in numbers]
        wanted: dict[int, list[int]] = {place: [] for place in places}
        for place, number in zip(places, numbers, strict=True):
            wanted[place].append(number)
        found = {place: chunks[place].late(asked) for place, asked in wanted.items()}
    except DamagedVersion as error:
        raise damaged(snapshot, error) from None
    return [next(found[place]) for place in places]


def key_of(chunks: Sequence[BlockChunk], number: int) -> bytes:
    """The stored key of a numbered row."""
    return chunks[bisect_right(chunks, number, key=_start) - 1].key(number)


def _start(chunk: BlockChunk) -> int:
    return chunk.numbers.start


def damaged(snapshot: Snapshot, error: DamagedVersion) -> StoreDown:
    snapshot.report_damage(error.detail)
    return StoreDown("a stored block is damaged and was not served")
