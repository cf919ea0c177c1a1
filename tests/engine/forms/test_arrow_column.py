"""Buffers, bit by bit."""

import struct
from decimal import Decimal

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.forms.arrow_column import bitmap, builder


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_bitmap(bits: list[bool]) -> None:
    buffer = pa.py_buffer(bitmap(bits))
    assert pa.Array.from_buffers(pa.bool_(), len(bits), [None, buffer]).to_pylist() == bits


def test_no_bitmap_where_nothing_is_null() -> None:
    assert builder("TINYINT")([1, 2]) == (0, [None, memoryview(b"\x01\x02").cast("b")])
    nulls, (validity, values) = builder("TINYINT")([1, None, 3])
    assert (nulls, validity, bytes(values)) == (1, b"\x05", b"\x01\x00\x03")
    assert builder("NULL")([None, msgspec.Raw(b"null")]) == (2, [])


@given(st.lists(st.none() | st.integers(-(10**18) + 1, 10**18 - 1), min_size=1))
def test_a_decimal_is_128_bits_however_few_it_needs(numbers: list[int | None]) -> None:
    values = [None if number is None else Decimal(number).scaleb(-4) for number in numbers]
    assert bytes(builder("DECIMAL(18,4)")(values)[1][1]) == bytes(builder("DECIMAL(38,4)")(values)[1][1])


@given(st.lists(st.none() | st.text(), min_size=1))
def test_texts(texts: list[str | None]) -> None:
    nulls, buffers = builder("VARCHAR")(texts)
    parts = [(text or "").encode() for text in texts]
    assert nulls == texts.count(None)
    assert bytes(buffers[2]) == b"".join(parts)
    ends = [sum(map(len, parts[:count])) for count in range(len(parts) + 1)]
    assert bytes(buffers[1]) == struct.pack(f"<{len(ends)}i", *ends)


def test_what_is_not_finite_is_null_and_a_negative_zero_is_not() -> None:
    nulls, buffers = builder("DOUBLE")([float("nan"), float("inf"), -0.0, None])
    assert (nulls, buffers[0]) == (3, b"\x04")
    assert bytes(buffers[1]) == struct.pack("<4d", 0.0, 0.0, -0.0, 0.0)
