"""The values of a column → the buffers of an Arrow array.

Rule: types are those of DuckDB's own Arrow export, but a list, struct, map or JSON column is
text, its JSON. A HUGEINT, what a sum of integers is, is decimal128(38, 0), as DuckDB has it;
Arrow allows no 39th digit there, so a value that has one is refused. Numbers that are not
finite are null, as in the JSON. Made with the standard library alone.
"""

import datetime
import math
from array import array
from collections.abc import Callable
from decimal import Decimal
from itertools import accumulate
from typing import Any

import msgspec

from engine.forms.answer import json_texts, value_decoder
from engine.forms.calendar_text import DAY_US, days_of, moment_us
from engine.queries.arithmetic import EXACT
from engine.sqltype import WIDTH_64, WIDTH_MAX, family, width_and_scale
from havok.errors import QueryFailed

Builder = Callable[[list[Any]], tuple[int, list[Any]]]  # values → (how many are null, buffers as Arrow orders them)
_Nullable = list[Any]  # values of which None is null
_Filled = Callable[[list[Any]], tuple[_Nullable, list[Any]]]  # values → (the same, decoded; buffers but the first)

_CODES = {
    "TINYINT": "b", "UTINYINT": "B", "SMALLINT": "h", "USMALLINT": "H", "INTEGER": "i", "UINTEGER": "I",
    "BIGINT": "q", "UBIGINT": "Q",
}  # fmt: skip
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_HUGE_END = 10**WIDTH_MAX
_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


def builder(kind: str) -> Builder:
    """For a column of this SQL type."""
    if kind == "NULL":
        return lambda values: (len(values), [])
    fill = _fill(kind)

    def build(values: list[Any]) -> tuple[int, list[Any]]:
        decoded, buffers = fill(values)
        nulls = decoded.count(None)
        return nulls, [bitmap([value is not None for value in decoded]) if nulls else None, *buffers]

    return build


def bitmap(bits: list[bool]) -> bytes:
    """The first bit is the lowest one of the first byte."""
    return int(bytes(bits)[::-1].translate(_DIGITS), 2).to_bytes((len(bits) + 7) // 8, "little")


def _fill(kind: str) -> _Filled:
    found = family(kind)
    if kind in _CODES:
        return _integers(_CODES[kind])
    if kind == "HUGEINT":
        return _huge_integers()
    if found == "decimal":
        return _decimals(*width_and_scale(kind))
    if found in ("double", "float"):
        return _doubles("d" if found == "double" else "f")
    if found == "bool":
        return _bools()
    if found == "date":
        return _dates()
    if found == "moment":
        return _moments(_EPOCH if kind == "TIMESTAMP" else _EPOCH.replace(tzinfo=datetime.UTC))
    if kind == "BLOB":
        return _blobs()
    return _texts(value_decoder(str) if found == "string" else json_texts)


def _integers(code: str) -> _Filled:
    decode = value_decoder(int)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        return values, [array(code, [value or 0 for value in values])]

    return fill


def _doubles(code: str) -> _Filled:
    decode = value_decoder(float)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = [value if value is not None and math.isfinite(value) else None for value in decode(values)]
        return values, [array(code, [0.0 if value is None else value for value in values])]

    return fill


def _bools() -> _Filled:
    decode = value_decoder(bool)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        return values, [bitmap([value is True for value in values])]

    return fill


def _huge_integers() -> _Filled:
    decode = value_decoder(int)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        numbers = [value or 0 for value in values]
        if max(numbers) >= _HUGE_END or min(numbers) <= -_HUGE_END:
            raise QueryFailed(f"a HUGEINT has more than {WIDTH_MAX} digits, which Arrow cannot show; ask for JSON")
        return values, [_wide(numbers)]

    return fill


def _decimals(width: int, scale: int) -> _Filled:
    decode = value_decoder(Decimal)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        numbers = [0 if value is None else int(value.scaleb(scale, EXACT)) for value in values]
        return values, [_narrow(numbers) if width <= WIDTH_64 else _wide(numbers)]

    return fill


def _wide(numbers: list[int]) -> bytes:
    """128 bits each."""
    return b"".join([number.to_bytes(16, "little", signed=True) for number in numbers])


def _narrow(numbers: list[int]) -> "array[int]":
    """The same, of numbers that fit 64 bits: a low half, and a high one that is all sign."""
    halves = array("q", bytes(16 * len(numbers)))
    halves[::2] = array("q", numbers)
    halves[1::2] = array("q", [-1 if number < 0 else 0 for number in numbers])
    return halves


def _dates() -> _Filled:
    decode, as_texts = value_decoder(datetime.date), value_decoder(str)

    def days(value: datetime.date | str) -> int:
        return days_of(value) if isinstance(value, str) else value.toordinal() - _EPOCH_ORDINAL

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        try:
            values = decode(values)
        except msgspec.ValidationError:  # of a year that Python does not have
            values = as_texts(values)
        return values, [array("i", [0 if value is None else days(value) for value in values])]

    return fill


def _moments(epoch: datetime.datetime) -> _Filled:
    decode, as_texts = value_decoder(datetime.datetime), value_decoder(str)

    def since(value: datetime.datetime | str) -> int:
        if isinstance(value, str):
            return moment_us(value)
        passed = value - epoch
        return passed.days * DAY_US + passed.seconds * 1_000_000 + passed.microseconds

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        try:
            values = decode(values)
        except msgspec.ValidationError:
            values = as_texts(values)
        return values, [array("q", [0 if value is None else since(value) for value in values])]

    return fill


def _blobs() -> _Filled:
    decode = value_decoder(bytes)

    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        parts = [value or b"" for value in values]
        return values, [_offsets(list(map(len, parts))), b"".join(parts)]

    return fill


def _texts(decode: Callable[[list[Any]], list[str | None]]) -> _Filled:
    def fill(values: list[Any]) -> tuple[_Nullable, list[Any]]:
        values = decode(values)
        parts = [value or "" for value in values]
        whole = "".join(parts)
        if whole.isascii():
            return values, [_offsets(list(map(len, parts))), whole.encode()]
        encoded = [part.encode() for part in parts]
        return values, [_offsets(list(map(len, encoded))), b"".join(encoded)]

    return fill


def _offsets(lengths: list[int]) -> "array[int]":
    return array("i", accumulate(lengths, initial=0))
