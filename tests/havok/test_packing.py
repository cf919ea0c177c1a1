"""Values taken out of sections, form by form."""

import datetime
from decimal import Decimal
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havok.packing import Packed, Unpacker, pack_texts

UTC = datetime.UTC
DAY_US = 86_400_000_000


def shown(packed: Packed, section: bytes, count: int, words: list[str | None] = []) -> list[Any]:  # noqa: B006
    """All of them; any of them alone, and in any order, are the same."""
    unpacker = Unpacker(packed, words)
    found = list(unpacker.many(memoryview(section), count, 0, count))
    for places in ([count - 1], list(range(count))[::-1], [0, count - 1, 0]):
        some = unpacker.some(memoryview(section), count, places)
        assert repr(list(some)) == repr([found[place] for place in places])
    return found


@pytest.mark.parametrize(
    ("packed", "stored", "values"),
    [
        (Packed("c", "int", "B"), (0, 255), [0, 255]),
        (Packed("c", "int", "h", 301), (-300, 301, 300), [-300, None, 300]),
        (Packed("c", "int", "Q"), (2**64 - 1,), [2**64 - 1]),
        (Packed("c", "decimal", "i", None, 2), (0, -5, 1234), ["0.00", "-0.05", "12.34"]),
        (Packed("c", "decimal", "q", 7, 0), (10**18, 7), ["1000000000000000000", None]),
        (Packed("c", "date", "i", 9), (0, -719162, 9), [datetime.date(1970, 1, 1), datetime.date.min, None]),
        (Packed("c", "timestamp", "q"), (DAY_US + 1,), [datetime.datetime(1970, 1, 2, 0, 0, 0, 1)]),
        (Packed("c", "timestamptz", "q", 5), (0, 5), [datetime.datetime(1970, 1, 1, tzinfo=UTC), None]),
        (Packed("c", "double", "d"), (0.1, -0.0), [0.1, -0.0]),
        (Packed("c", "double", "d", 0), (1.5, float("nan")), [1.5, None]),
        (Packed("c", "bool", "B"), (1, 0, 2), [True, False, None]),
    ],
)
def test_numbers(packed: Packed, stored: tuple[Any, ...], values: list[Any]) -> None:
    section = pack(f"<{len(stored)}{packed.code}", *stored)
    found = shown(packed, section, len(stored))
    if packed.form == "decimal":
        found = [None if value is None else str(value) for value in found]
    assert repr(found) == repr(values)


def test_a_decimal_has_the_scale_of_its_column() -> None:
    (value,) = shown(Packed("c", "decimal", "b", None, 3), pack("<b", 5), 1)
    assert value == Decimal("0.005")
    assert value.as_tuple().exponent == -3


def test_words() -> None:
    assert shown(Packed("c", "word", "H"), pack("<3H", 1, 0, 2), 3, ["a", "b", None]) == ["b", "a", None]


@given(texts=st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=9), data=st.data())
def test_texts(texts: list[str | None], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(texts)))
    last = data.draw(st.integers(first, len(texts)))
    stored = [(text or "").encode() for text in texts]
    ends = [7]
    for text in stored:
        ends.append(ends[-1] + len(text))
    flags = bytes(text is None for text in texts)
    section = memoryview(pack_texts(ends, b"".join(stored), flags))
    assert list(Unpacker(Packed("c", "text", null=1)).many(section, len(texts), first, last)) == texts[first:last]
    plain = memoryview(pack_texts(ends, b"".join(stored)))
    found = Unpacker(Packed("c", "text")).many(plain, len(texts), first, last)
    assert list(found) == [text or "" for text in texts[first:last]]
