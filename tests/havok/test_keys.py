"""Encoded keys order as their values do, and no two keys are ever taken for each other."""

import datetime
import hashlib
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from havok import keys
from havok.keys import (
    HASHED_BYTES,
    INT_MAX,
    INT_MIN,
    KEY_BYTES_MAX,
    UINT_MAX,
    WIDE_MAX,
    WIDE_MIN,
    KeyKind,
    bounded,
    encode,
    encode_nullable,
    parse_date,
    parse_timestamp,
    successor,
)

LMDB_KEY_BYTES_MAX = 511

# Surrogates are no UTF-8; the two escaped characters and their neighbours come often.
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\1\2\xff"), max_size=12)

VALUES: dict[KeyKind, st.SearchStrategy[Any]] = {
    "string": texts,
    "int": st.integers(INT_MIN, INT_MAX),
    "uint": st.integers(0, UINT_MAX),
    "wide": st.integers(WIDE_MIN, WIDE_MAX),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(timezones=st.just(datetime.UTC)),
}

Pair = tuple[tuple[KeyKind, ...], tuple[Any, ...], tuple[Any, ...]]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Kinds and two tuples of them, which often share their first values."""
    kinds = tuple(draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4)))
    first = tuple(draw(VALUES[kind]) for kind in kinds)
    same = draw(st.integers(0, len(kinds)))
    return kinds, first, first[:same] + tuple(draw(VALUES[kind]) for kind in kinds[same:])


def sign(first: Any, second: Any) -> int:
    return int(first > second) - int(first < second)


@given(pairs())
@example((("string", "string"), ("a", "b"), ("a\0", "b")))
@example((("string", "string"), ("a\0", ""), ("a\1", "")))
@example((("string", "string"), ("", "\0"), ("\0", "")))
@example((("string", "int"), ("a", INT_MIN), ("a\0", INT_MAX)))
def test_bytes_order_as_tuples(pair: Pair) -> None:
    kinds, first, second = pair
    # UTF-8 orders as code points do, and so does Python.
    assert sign(encode(kinds, first), encode(kinds, second)) == sign(first, second)


@given(pairs())
def test_a_prefix_of_a_key_is_a_prefix_of_its_bytes_and_of_no_others(pair: Pair) -> None:
    kinds, first, second = pair
    for length in range(len(kinds) + 1):
        prefix = encode(kinds, first[:length])
        assert encode(kinds, first).startswith(prefix)
        assert encode(kinds, second).startswith(prefix) == (second[:length] == first[:length])


@given(st.data(), pairs())
def test_nulls_sort_last_and_apart(data: st.DataObject, pair: Pair) -> None:
    kinds, *rows = pair
    nullable = [tuple(data.draw(st.just(value) | st.none()) for value in row) for row in rows]
    order = [tuple((value is None, value) if value is not None else (True, 0) for value in row) for row in nullable]
    first, second = (encode_nullable(kinds, row) for row in nullable)
    assert sign(first, second) == sign(order[0], order[1])


@given(texts)
def test_escaping_keeps_ordinary_text_as_it_is(text: str) -> None:
    raw = text.encode()
    escaped = keys.escape(raw)
    assert b"\0" not in escaped
    assert (escaped == raw) == ("\0" not in text and "\1" not in text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", INT_MAX + 1),
        ("int", INT_MIN - 1),
        ("uint", -1),
        ("uint", UINT_MAX + 1),
        ("wide", WIDE_MAX + 1),
        ("wide", WIDE_MIN - 1),
    ],
)
def test_an_integer_outside_its_kind_is_refused(kind: KeyKind, value: int) -> None:
    with pytest.raises((struct.error, OverflowError)):
        encode((kind,), (value,))


def test_a_naive_timestamp_is_utc() -> None:
    naive = datetime.datetime(2013, 1, 31, 5)
    east = datetime.datetime(2013, 1, 31, 7, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert encode(("timestamp",), (naive,)) == encode(("timestamp",), (east,))


class TestBounded:
    @pytest.mark.parametrize("size", [1, 509, KEY_BYTES_MAX - 1])
    def test_a_short_key_is_itself(self, size: int) -> None:
        encoding = encode(("string",), ("x" * size,))
        assert bounded(encoding) is encoding
        assert len(encoding) <= KEY_BYTES_MAX

    @pytest.mark.parametrize("size", [KEY_BYTES_MAX, 511, 512, 4096, 64 * 1024])
    def test_a_long_key_is_hashed_to_the_one_length_short_ones_never_have(self, size: int) -> None:
        encoding = encode(("string",), ("x" * size,))
        found = bounded(encoding)
        assert len(found) == HASHED_BYTES == LMDB_KEY_BYTES_MAX
        assert found.endswith(hashlib.sha256(encoding).digest())
        assert encoding.startswith(found[:478])

    @given(st.integers(500, 70_000), st.integers(500, 70_000), st.sampled_from("xy"))
    def test_long_keys_stay_distinct(self, first: int, second: int, last: str) -> None:
        one, other = encode(("string",), ("x" * first,)), encode(("string",), ("x" * second + last,))
        assert (bounded(one) == bounded(other)) == (one == other)

    @given(texts, st.integers(0, 2000))
    def test_never_longer_than_lmdb_takes(self, text: str, size: int) -> None:
        assert len(bounded(encode(("string", "string"), (text, "é" * size)))) <= LMDB_KEY_BYTES_MAX


class TestSuccessor:
    @given(st.binary(max_size=6), st.binary(max_size=6))
    def test_it_is_above_what_starts_with_the_prefix_and_nothing_less_is(self, prefix: bytes, other: bytes) -> None:
        end = successor(prefix)
        if end is None:
            assert set(prefix) <= {0xFF}
            return
        assert prefix + other < end
        if prefix <= other < end:
            assert other.startswith(prefix)

    def test_examples(self) -> None:
        assert successor(b"ab") == b"ac"
        assert successor(b"a\xff\xff") == b"b"
        assert successor(b"\xff") is None
        assert successor(b"") is None


def minutes_east(minutes: int) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(minutes=minutes))


class TestParse:
    @given(st.dates())
    def test_a_date_as_it_is_written(self, date: datetime.date) -> None:
        assert parse_date(date.isoformat()) == keys.days(date)

    @given(st.datetimes(timezones=st.none() | st.integers(-1439, 1439).map(minutes_east)))
    def test_a_timestamp_as_it_is_written(self, moment: datetime.datetime) -> None:
        assert parse_timestamp(moment.isoformat()) == keys.microseconds(moment)

    @pytest.mark.parametrize(
        ("text", "same"),
        [
            ("2013-01-31", "2013-01-31T00:00:00Z"),
            ("2013-01-31 05:00", "2013-01-31T05:00:00Z"),
            ("2013-01-31T05:00:00.5+05:30", "2013-01-30T23:30:00.500000Z"),
            ("2013-01-31T05:00:00-05", "2013-01-31T10:00:00"),
        ],
    )
    def test_forms_of_one_moment(self, text: str, same: str) -> None:
        assert parse_timestamp(text) == parse_timestamp(same)

    @pytest.mark.parametrize(
        "text", ["", "20130131", "2013-W05-4", "2013-02-30", "2013-1-3", "2013-01-31 ", "²013-01-31"]
    )
    def test_what_is_neither(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            parse_date(text)
        with pytest.raises(ValueError, match=r".+"):
            parse_timestamp(text)


@pytest.mark.parametrize(
    ("type_text", "kind"),
    [
        ("SMALLINT", "int"),
        ("UBIGINT", "uint"),
        ("DECIMAL(38,0)", "wide"),
        ("DECIMAL(10,2)", None),
        ("TIMESTAMP WITH TIME ZONE", "timestamp"),
        ("DOUBLE", None),
        ("VARCHAR[]", None),
    ],
)
def test_the_kind_of_a_columns_type(type_text: str, kind: KeyKind | None) -> None:
    assert keys.kind_of(type_text) == kind
