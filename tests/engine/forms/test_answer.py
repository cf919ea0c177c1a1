"""A row's JSON equals what the loader stores, whatever its columns are called."""

import datetime
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forms.answer import array, json_texts, value_decoder
from tests.engine.typed_rows import Table, answer_of

NAMES = ('"', "\\", "\n", "naïve", "class", "", "a b", "v1", "\x00", "🦆")


def test_python_values_look_as_stored_ones(dice: random.Random) -> None:
    table = Table(dice, 60)
    assert table.answer.json(table.typed()) == table.answer.json(table.stored())


@pytest.mark.parametrize("name", NAMES)
def test_any_name(name: str) -> None:
    answer, _ = answer_of((name, "VARCHAR"), ("other", "DECIMAL(9,8)"))
    rows = [answer.row(msgspec.Raw(b'"x"'), Decimal("0.00000010")), answer.row(None, None)]
    body = answer.json(rows)
    assert msgspec.json.decode(body) == [{name: "x", "other": 1e-7}, {name: None, "other": None}]
    assert b'"other":0.00000010}' in body


@given(st.integers(0, 38), st.integers(-(10**38) + 1, 10**38 - 1))
def test_a_decimal_keeps_its_digits(scale: int, digits: int) -> None:
    answer, _ = answer_of(("d", f"DECIMAL(38,{scale})"))
    value = Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -scale))
    assert answer.json([answer.row(value)]) == b'[{"d":%b}]' % f"{value:f}".encode()


@given(st.datetimes(timezones=st.none() | st.just(datetime.UTC)))
def test_a_moment_has_no_zeros_at_its_end(value: datetime.datetime) -> None:
    answer, _ = answer_of(("t", "TIMESTAMP WITH TIME ZONE" if value.tzinfo else "TIMESTAMP"))
    text = msgspec.json.decode(answer.json([answer.row(value)]))[0]["t"]
    assert datetime.datetime.fromisoformat(text) == value
    assert not text.removesuffix("Z").partition(".")[2].endswith("0")
    assert text.endswith("Z") == (value.tzinfo is not None)


def test_integers_beyond_64_bits_are_digits() -> None:
    answer, _ = answer_of(("n", "HUGEINT"))
    assert answer.json([answer.row(value) for value in (2**127 - 1, -(2**127), 2**64)]) == (
        b'[{"n":170141183460469231731687303715884105727},{"n":-170141183460469231731687303715884105728},'
        b'{"n":18446744073709551616}]'
    )


def test_stored_values_are_decoded_between_others() -> None:
    decode = value_decoder(int)
    raw = msgspec.Raw
    assert decode([1, None]) == [1, None]
    assert decode([raw(b"1"), raw(b"null")]) == [1, None]
    assert decode([raw(b"1"), 2, None, raw(b"3")]) == [1, 2, None, 3]
    assert json_texts([raw(b'{"a": 1}'), None, raw(b"null"), True]) == ['{"a": 1}', None, None, "true"]
    assert array([raw(b"1"), b"2"]) == b"[1,2]"


def test_meta_names_the_columns() -> None:
    answer, _ = answer_of(("a", "BIGINT"), ("b", "BLOB"))
    assert answer.meta() == {"columns": [{"name": "a", "type": "BIGINT"}, {"name": "b", "type": "BLOB"}]}
