"""Rows in blocks of columns: what is read where a query goes over many rows and needs few of their columns.

Rule: a block holds up to `BLOCK_ROWS` neighbours in the order of the key or of an index, next
to the rows themselves. It is an LMDB entry whose key is that of its first row (or index
entry); its value:

    count of rows, count of sections                  uint32 each
    end of each section, CRC-32 of it                 uint32 each, ends from the first section on
    CRC-32 of the entry's key and all before
    keys of the rows: length of what all begin with (uint32), that, and the rest as texts
    a section for each packed column, see `havok.packing`

So a reader checks the head and the sections it needs, and touches no others. Orders in which
some key is hashed have no blocks: there a key does not tell where its row is.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from struct import Struct, pack, unpack_from

import msgspec
from isal.isal_zlib import crc32

from havok.errors import DamagedVersion
from havok.packing import Packed, pack_texts, text_at
from havok.rows import CRC_BYTES, RESIDUE

BLOCK_ROWS = 512  # some kilobytes of each column: more would be read in vain at both ends of a range
WORDS_DB = b"words"  # name of a column → its words, sealed as a row is

_TWO = Struct("<II").unpack_from
_LENGTH = Struct("<I")


class Blocks(msgspec.Struct, frozen=True):
    """What a version has of them. `orders`: the indexes they follow, None for the key."""

    columns: tuple[Packed, ...]
    orders: tuple[str | None, ...]

    @staticmethod
    def database(index: str | None) -> bytes:
        return b"blocks" if index is None else b"blocks/" + index.encode()


def pack_block(ends: Sequence[int], stored: bytes, sections: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The keys in ascending order, joined, and a section per column → the entry, (key, value).

    `ends`: where each key begins and the last one ends, counted from anywhere.
    """
    base, count = ends[0], len(ends) - 1
    first, last = stored[: ends[1] - base], stored[ends[-2] - base :]
    pairs = enumerate(zip(first, last, strict=False))
    common = next((place for place, (one, other) in pairs if one != other), min(len(first), len(last)))
    rests = b"".join([stored[begin - base + common : end - base] for begin, end in pairwise(ends)])
    rest_ends = [end - base - common * number for number, end in enumerate(ends)]
    packed = _LENGTH.pack(common) + first[:common] + pack_texts(rest_ends, rests)
    parts = [packed, *sections]
    numbers = [
        number for end, part in zip(accumulate(map(len, parts)), parts, strict=True) for number in (end, crc32(part))
    ]
    head = pack(f"<{2 + len(numbers)}I", count, len(parts), *numbers)
    return first, b"".join([head, crc32(head, crc32(first)).to_bytes(CRC_BYTES, "little"), *parts])


@cache
def _places(sections: int) -> Callable[[memoryview, int], tuple[int, ...]]:
    """Reads the end and the checksum of each section. Of a few numbers, as many as there are kinds of blocks."""
    return Struct(f"<{2 * sections}I").unpack_from


class Block:
    """One entry, opened. What is taken out of it was checked. Holds views of the entry, which must outlive it."""

    __slots__ = ("_common", "_keys", "_places", "_sections", "count")

    def __init__(self, key: bytes, value: memoryview) -> None:
        """Raises DamagedVersion."""
        size = len(value)
        if size < 8:
            raise _damaged()
        count, sections = _TWO(value, 0)
        body = 8 + 8 * sections + CRC_BYTES
        if body > size or crc32(value[:body], crc32(key)) != RESIDUE:
            raise _damaged()
        self.count: int = count
        self._places = _places(sections)(value, 8)
        self._sections = value[body:]
        keys = self.section(0)
        (length,) = _LENGTH.unpack_from(keys, 0)
        self._common = bytes(keys[4 : 4 + length])
        self._keys = keys[4 + length :]

    def section(self, number: int) -> memoryview:
        """0: the keys; from 1 on the columns. Raises DamagedVersion."""
        places = self._places
        found = self._sections[places[2 * number - 2] if number else 0 : places[2 * number]]
        if crc32(found) != places[2 * number + 1]:
            raise _damaged()
        return found

    def key(self, place: int) -> bytes:
        """The stored key of a row."""
        return self._common + text_at(self._keys, self.count, place)

    def keys(self, first: int, last: int) -> list[bytes]:
        """The stored keys from `first` to before `last`."""
        ends = unpack_from(f"<{last - first + 1}I", self._keys, 4 * first)
        base, head, common = ends[0], 4 * (self.count + 1), self._common
        rests = bytes(self._keys[head + base : head + ends[-1]])
        return [common + rests[begin - base : end - base] for begin, end in pairwise(ends)]

    def place(self, key: bytes) -> int:
        """How many rows are before a stored key."""
        common = self._common
        if not key.startswith(common):
            return 0 if key < common else self.count
        rest, head = key[len(common) :], 4 * (self.count + 1)
        ends, rests = self._keys[:head].cast("I"), bytes(self._keys[head:])
        return bisect_left(range(self.count), rest, key=lambda place: rests[ends[place] : ends[place + 1]])


def _damaged() -> DamagedVersion:
    return DamagedVersion("a block of columns failed its checksum")
