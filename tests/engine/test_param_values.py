"""Values of each SQL type, from a query string and from JSON."""

import datetime
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.param_values import NUMBER_CHARS_MAX, Value, from_json, from_text, noun, number, param_kind
from engine.plan import Param, ParamKind
from engine.sql.scope import DECLARED, param_type
from engine.sqltype import INTEGERS, TIMESTAMPTZ
from havok.keys import INT_MAX, INT_MIN, UINT_MAX, WIDE_MAX, WIDE_MIN

UTC = datetime.UTC
MONEY = "DECIMAL(38,4)"
TYPES = ["VARCHAR", "BIGINT", "UBIGINT", "HUGEINT", "BOOLEAN", "DATE", "TIMESTAMP", TIMESTAMPTZ, "DOUBLE", MONEY]
REFUSALS = (ValueError, OverflowError)  # which the binder makes a BadParam of

decode = msgspec.json.Decoder(float_hook=number).decode  # as the server does


def param(type_text: str) -> Param:
    return Param("p", param_kind(type_text), type=type_text)


def same(found: Value, wanted: Value) -> None:
    assert found == wanted
    assert type(found) is type(wanted)
    assert str(found) == str(wanted)  # the digits of a decimal, the zone of a moment


@pytest.mark.parametrize(
    ("type_text", "text", "value"),
    [
        ("VARCHAR", "", ""),
        ("VARCHAR", "a,b", "a,b"),
        ("BIGINT", str(INT_MIN), INT_MIN),
        ("UBIGINT", str(UINT_MAX), UINT_MAX),
        ("HUGEINT", str(WIDE_MIN), WIDE_MIN),
        ("BOOLEAN", "True", True),
        ("DATE", "0001-01-01", datetime.date(1, 1, 1)),
        ("DATE", "9999-12-31", datetime.date(9999, 12, 31)),
        ("DATE", "2012-02-29", datetime.date(2012, 2, 29)),
        ("TIMESTAMP", "2013-01-31", datetime.datetime(2013, 1, 31)),
        ("TIMESTAMP", "2013-01-31T05:00:00+05:30", datetime.datetime(2013, 1, 30, 23, 30)),
        ("TIMESTAMP", "0001-01-01T00:00:00Z", datetime.datetime(1, 1, 1)),
        ("TIMESTAMP", "0001-01-01T05:00:00+05", datetime.datetime(1, 1, 1)),
        ("TIMESTAMP", "9999-12-31T23:59:59.999999", datetime.datetime.max),
        (TIMESTAMPTZ, "2013-01-31 05:00:00.25-01", datetime.datetime(2013, 1, 31, 6, 0, 0, 250_000, UTC)),
        (TIMESTAMPTZ, "9999-12-31T23:59:59.999999Z", datetime.datetime.max.replace(tzinfo=UTC)),
        ("DOUBLE", "0", 0.0),
        ("DOUBLE", "-0", -0.0),
        ("DOUBLE", "-1.5e3", -1500.0),
        ("DOUBLE", ".5", 0.5),
        ("DOUBLE", "5.", 5.0),
        ("DOUBLE", "1E+2", 100.0),
        ("DOUBLE", "1e-999", 0.0),
        ("DOUBLE", "0.1000000000000000055", 0.1),
        ("DOUBLE", str(10**300), 1e300),
        (MONEY, "1.5", Decimal("1.5000")),
        (MONEY, "-.0001", Decimal("-0.0001")),
        (MONEY, "-0", Decimal("0.0000")),
        (MONEY, "1.500000", Decimal("1.5000")),  # no digit is lost
        (MONEY, "9" * 34 + ".9999", Decimal("9" * 34 + ".9999")),
        (MONEY, "0" * 50 + "1", Decimal("1.0000")),
        ("DECIMAL(4,0)", "-9999", Decimal(-9999)),
        ("DECIMAL(4,0)", "12.", Decimal(12)),
        ("DECIMAL(2,2)", "0.99", Decimal("0.99")),
    ],
)
def test_text_of_each_type(type_text: str, text: str, value: Value) -> None:
    same(from_text(param(type_text))(text), value)


@pytest.mark.parametrize(
    ("type_text", "text"),
    [
        ("BIGINT", str(INT_MAX + 1)),
        ("UBIGINT", "-1"),
        ("HUGEINT", str(WIDE_MAX + 1)),
        ("BOOLEAN", "1"),
        ("DATE", "0000-01-01"),
        ("DATE", "10000-01-01"),
        ("DATE", "2013-02-29"),
        ("TIMESTAMP", "0001-01-01T00:00:00+00:01"),  # before the first year, in UTC
        ("TIMESTAMP", "9999-12-31T23:59:59-00:01"),  # after the last
        (TIMESTAMPTZ, "0001-01-01T00:00:00+14"),
        (TIMESTAMPTZ, "9999-12-31T23:59:59-14"),
        ("TIMESTAMP", "2013-01-31T25:00"),
        *(
            (kind, text)
            for kind in ("DOUBLE", MONEY)
            for text in ("", ".", "-", "+1", "nan", "inf", "-Infinity", "1_0")
        ),
        *((kind, text) for kind in ("DOUBLE", MONEY) for text in ("0x1", " 1", "1\n", "1,5", "٣", "1e", "e1")),
        ("DOUBLE", "1e999"),
        ("DOUBLE", "1" * NUMBER_CHARS_MAX),
        ("DOUBLE", "1e123456"),
        ("DOUBLE", "1" * (NUMBER_CHARS_MAX + 1)),
        (MONEY, "1.00001"),
        (MONEY, "1" * 35),
        (MONEY, "1e2"),
        (MONEY, "1" * 10**6),
        (MONEY, "0." + "0" * 390 + "1"),
        ("DECIMAL(4,0)", "10000"),
        ("DECIMAL(4,0)", "0.5"),
        ("DECIMAL(2,2)", "1"),
    ],
)
def test_text_that_is_no_value_of_the_type(type_text: str, text: str) -> None:
    with pytest.raises(REFUSALS):
        from_text(param(type_text))(text)


@pytest.mark.parametrize(
    ("type_text", "json", "value"),
    [
        ("VARCHAR", '"ä"', "ä"),
        ("BIGINT", "3", 3),
        ("BOOLEAN", "true", True),
        ("DATE", '"2013-01-31"', datetime.date(2013, 1, 31)),
        ("TIMESTAMP", '"2013-01-31T05:00:00Z"', datetime.datetime(2013, 1, 31, 5)),
        (TIMESTAMPTZ, '"2013-01-31"', datetime.datetime(2013, 1, 31, tzinfo=UTC)),
        ("DOUBLE", "3", 3.0),
        ("DOUBLE", "-0.1", -0.1),
        ("DOUBLE", "1e3", 1000.0),
        ("DOUBLE", str((1 << 53) + 1), 2.0**53),  # the nearest
        (MONEY, "3", Decimal("3.0000")),
        (MONEY, "1.5", Decimal("1.5000")),
        (MONEY, "1.5E+3", Decimal("1500.0000")),
        (MONEY, "15e-1", Decimal("1.5000")),
        (MONEY, "0e999999", Decimal("0.0000")),
        (MONEY, "-0.0", Decimal("0.0000")),
        (MONEY, "1234567890123456789012.3456", Decimal("1234567890123456789012.3456")),  # more than a float holds
        (MONEY, '"1234567890123456789012.3456"', Decimal("1234567890123456789012.3456")),
        (MONEY, str(10**34 - 1), Decimal("9" * 34 + ".0000")),
    ],
)
def test_json_of_each_type(type_text: str, json: str, value: Value) -> None:
    same(from_json(param(type_text))(decode(json)), value)


@pytest.mark.parametrize(
    ("type_text", "json"),
    [
        *((kind, json) for kind in TYPES for json in ("[]", "{}", "null", '"x y"', "[1]") if kind != "VARCHAR"),
        *((kind, "true") for kind in TYPES if kind != "BOOLEAN"),
        *((kind, "1.5") for kind in TYPES if kind not in ("DOUBLE", MONEY)),
        ("BIGINT", "1.0"),
        ("BIGINT", '"1"'),
        ("DOUBLE", '"1.5"'),
        ("DOUBLE", "1e999"),
        ("DOUBLE", "1e99999999999999999999"),
        ("DOUBLE", str(10**400)),
        ("DATE", "1"),
        ("TIMESTAMP", '"0001-01-01T00:00:00+00:01"'),
        (MONEY, "1.00001"),
        (MONEY, "1e34"),
        (MONEY, "1e999999"),
        (MONEY, "1e-999999"),
        (MONEY, "1e99999999999999999999"),
        (MONEY, str(10**400)),
        (MONEY, '"1e2"'),
        (MONEY, '"nan"'),
        (MONEY, '""'),
    ],
)
def test_json_that_is_no_value_of_the_type(type_text: str, json: str) -> None:
    with pytest.raises(REFUSALS):
        from_json(param(type_text))(decode(json))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Decimal("nan"), Decimal("-inf")])
def test_no_way_in_lets_pass_what_is_not_finite(value: object) -> None:
    for type_text in ("DOUBLE", MONEY):
        with pytest.raises(REFUSALS):
            from_json(param(type_text))(value)


def test_a_float_is_the_decimal_it_is_written_as() -> None:
    """Of settings and MessagePack, which have floats."""
    assert from_json(param(MONEY))(0.1) == Decimal("0.1")
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(param(MONEY))(0.1 + 0.2)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
PYTHON = {"DATE": datetime.date, "TIMESTAMP": datetime.datetime, TIMESTAMPTZ: datetime.datetime}
PYTHON |= {"VARCHAR": str, "BOOLEAN": bool, "DOUBLE": float, MONEY: Decimal}  # type: ignore[dict-item]


@given(st.sampled_from(TYPES), JSON)
def test_any_json_is_a_value_of_the_type_or_refused(type_text: str, value: object) -> None:
    try:
        found = from_json(param(type_text))(value)
    except REFUSALS:
        return
    assert type(found) is PYTHON.get(type_text, int)


@given(st.sampled_from(TYPES), st.text(alphabet="0123456789-+.eE:TZ ", max_size=40) | st.text())
def test_any_text_is_a_value_of_the_type_or_refused(type_text: str, text: str) -> None:
    try:
        found = from_text(param(type_text))(text)
    except REFUSALS:
        return
    assert type(found) is PYTHON.get(type_text, int)


@given(st.dates())
def test_dates_come_through(value: datetime.date) -> None:
    same(from_text(param("DATE"))(value.isoformat()), value)


@given(st.datetimes(timezones=st.timezones() | st.none()))
def test_moments_come_through(value: datetime.datetime) -> None:
    try:
        aware = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        text = value.isoformat()
        datetime.datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        return
    if value.utcoffset() and value.utcoffset().total_seconds() % 60:  # type: ignore[union-attr]
        return  # a local mean time, whose seconds ISO 8601 has no place for
    same(from_text(param(TIMESTAMPTZ))(text), aware)
    same(from_text(param("TIMESTAMP"))(text), aware.replace(tzinfo=None))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_come_through(value: float) -> None:
    same(from_text(param("DOUBLE"))(repr(value)), value)
    same(from_json(param("DOUBLE"))(decode(msgspec.json.encode(value))), float(value))


@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_decimals_come_through(unscaled: int) -> None:
    value = Decimal((int(unscaled < 0), tuple(int(digit) for digit in str(abs(unscaled))), -4))
    for found in (from_text(param(MONEY))(f"{value:f}"), from_json(param(MONEY))(decode(f"{value:f}"))):
        assert isinstance(found, Decimal)
        assert found == value
        assert found.as_tuple().exponent == -4


def test_kinds_of_types() -> None:
    kinds: dict[str, ParamKind] = {
        "VARCHAR": "string", "BIGINT": "int", "UBIGINT": "uint", "HUGEINT": "wide", "BOOLEAN": "bool",
        "DATE": "date", "TIMESTAMP": "timestamp", TIMESTAMPTZ: "timestamp", "DOUBLE": "float",
        MONEY: "decimal", "DECIMAL(10, 2)": "decimal",
    }  # fmt: skip
    for type_text, kind in kinds.items():
        assert param_kind(type_text) == kind
        assert param_kind(f"{type_text}[]") == kind
    for type_text in ("", "INTEGER", "FLOAT", "BLOB", "NULL", "VARCHAR[][]", "TIMESTAMP_NS"):
        with pytest.raises(ValueError, match="no parameter is"):
            param_kind(type_text)


@pytest.mark.parametrize("type_text", [*TYPES, *INTEGERS, "FLOAT", "DECIMAL(38,38)", "DECIMAL(5,2)"])
def test_every_type_that_a_parameter_is_given_has_a_kind(type_text: str) -> None:
    found = param_type(type_text)
    assert found is not None
    assert noun(param(found)).startswith(("a ", "an ", "true"))
    assert all(param_kind(declared) for declared in DECLARED.values())


def test_nouns_of_decimals() -> None:
    assert noun(param(MONEY)) == "a number of at most 34 digits before the point and 4 after it"
    assert noun(param("DECIMAL(38,0)[]")) == "a whole number of at most 38 digits"
