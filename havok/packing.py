"""How the values of one column are packed into bytes, many at a time, and taken out again.

Rule: a column has one form in all blocks of a version, chosen once from its values. What it
gives back is what the row's JSON gives: what is not finite is NULL, a FLOAT the double it
equals, a moment with a time zone in UTC. Little endian.

    int, decimal, date, timestamp, timestamptz
             integers of one width: themselves, units of the last digit, days, microseconds;
             one that no value has stands for NULL
    double   IEEE 754, NaN for NULL
    bool     00, 01, or 02 for NULL
    word     places in a list of words, kept once for the version; one place is NULL's
    text     ends (uint32, from 0 on), with `null` a byte per value that is 01 for NULL, UTF-8

Not every column has a form: nested ones, long texts and what is out of Python's calendar stay
with their rows.
"""

import datetime
from array import array
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from struct import Struct, calcsize, unpack_from
from typing import Any, Literal

import msgspec

Form = Literal["int", "decimal", "date", "timestamp", "timestamptz", "double", "bool", "word", "text"]
Values = Sequence[Any]

BOOLS = (False, True, None)
_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()
_EPOCH = datetime.datetime(1970, 1, 1)
_END = Struct("<II").unpack_from


class Packed(msgspec.Struct, frozen=True):
    """A column and its form. `code` is struct's, of a value; `null` what stands for NULL, None where there is none."""

    name: str
    form: Form
    code: str = ""
    null: int | None = None
    scale: int = 0


class Unpacker:
    """Takes the values of a column out of its sections.

    `many(section, count, first, last)` → those from `first` to before `last` of `count`;
    `some(section, count, places)` → those at `places`, of which there is at least one.
    """

    __slots__ = ("many", "some")

    def __init__(self, packed: Packed, words: Values = ()) -> None:
        """`words`: the column's, where its form is `word`."""
        if packed.form == "text":
            texts = _texts_of(packed.null is not None)
            self.many: Callable[[memoryview, int, int, int], Values] = texts
            self.some: Callable[[memoryview, int, Sequence[int]], Values] = lambda section, count, places: [
                texts(section, count, place, place + 1)[0] for place in places
            ]
            return
        code, size, shown = packed.code, calcsize(f"<{packed.code}"), _shown(packed, words)

        def many(section: memoryview, count: int, first: int, last: int) -> Values:
            return unpack_from(f"<{last - first}{code}", section, first * size)

        def many_shown(section: memoryview, count: int, first: int, last: int) -> Values:
            return shown(unpack_from(f"<{last - first}{code}", section, first * size))  # type: ignore[misc]

        def some(section: memoryview, count: int, places: Sequence[int]) -> Values:
            numbers = section.cast(code)  # type: ignore[call-overload]  # one of struct's; as the machine has them
            return [numbers[place] for place in places]

        def some_shown(section: memoryview, count: int, places: Sequence[int]) -> Values:
            numbers = section.cast(code)  # type: ignore[call-overload]
            return shown(map(numbers.__getitem__, places))  # type: ignore[misc]

        self.many = many if shown is None else many_shown
        self.some = some if shown is None else some_shown


def _shown(packed: Packed, words: Values) -> Callable[[Iterable[Any]], Values] | None:
    """What makes values of the numbers that are stored; None: they are the values."""
    null = packed.null
    if packed.form == "int":
        return None if null is None else lambda found: [None if n == null else n for n in found]
    if packed.form == "double":
        return None if null is None else lambda found: [n if n == n else None for n in found]
    if packed.form == "decimal":
        unit = Decimal(1).scaleb(-packed.scale)
        return lambda found: [None if n == null else unit * n for n in found]
    if packed.form == "date":
        day = datetime.date.fromordinal
        return lambda found: [None if n == null else day(n + _EPOCH_ORDINAL) for n in found]
    if packed.form in ("timestamp", "timestamptz"):
        epoch = _EPOCH if packed.form == "timestamp" else _EPOCH.replace(tzinfo=datetime.UTC)
        after = datetime.timedelta
        return lambda found: [None if n == null else epoch + after(0, 0, n) for n in found]
    named = BOOLS if packed.form == "bool" else words
    return lambda found: [named[n] for n in found]


def _texts_of(nullable: bool) -> Callable[[memoryview, int, int, int], Values]:
    def many(section: memoryview, count: int, first: int, last: int) -> Values:
        ends = unpack_from(f"<{last - first + 1}I", section, 4 * first)
        head = 4 * (count + 1) + (count if nullable else 0)
        stored = bytes(section[head + ends[0] : head + ends[-1]])
        base = ends[0]
        found: list[Any]
        if stored.isascii():
            text = stored.decode()
            found = [text[begin - base : end - base] for begin, end in pairwise(ends)]
        else:
            found = [stored[begin - base : end - base].decode() for begin, end in pairwise(ends)]
        if nullable:
            flags = bytes(section[4 * (count + 1) + first : 4 * (count + 1) + last])
            if 1 in flags:
                return [None if flag else value for flag, value in zip(flags, found, strict=True)]
        return found

    return many


def pack_texts(ends: Sequence[int], stored: bytes, flags: bytes = b"") -> bytes:
    """A section of texts. `ends` may begin anywhere, `stored` begins there; `flags`: which are NULL."""
    base = ends[0]
    return array("I", [end - base for end in ends]).tobytes() + flags + stored


def text_at(section: memoryview, count: int, place: int) -> bytes:
    """One text of a section without NULLs."""
    begin, end = _END(section, 4 * place)
    head = 4 * (count + 1)
    return bytes(section[head + begin : head + end])
