"""Binding: every type, every rule, every way to say it wrong."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.param_values import Bound
from engine.params import QUERY_PARAMS_MAX, SHOWN_CHARS_MAX, Binder, parse_query, show
from engine.plan import Param, Rules
from havok.errors import BadParam
from havok.keys import INT_MAX, INT_MIN, UINT_MAX, WIDE_MAX, WIDE_MIN, KeyKind


def text(kind: KeyKind, value: str, rules: Rules = Rules()) -> Bound:  # noqa: B008
    return Binder((Param("p", kind, rules),)).from_query(b"p=" + value.encode())[0]


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """(param, rule) of the error, whose sentence must name the parameter."""
    with pytest.raises(BadParam) as refused:
        call()
    assert refused.value.detail
    assert len(refused.value.detail) < 1000
    return refused.value.param, refused.value.rule


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("string", "", ""),
        ("string", "JFK", "JFK"),
        ("string", "a+b", "a b"),
        ("string", "a%2Bb", "a+b"),
        ("string", "a%20b", "a b"),
        ("string", "%C3%A4", "ä"),
        ("string", "%f0%9f%9b%ab", "🛫"),
        ("string", "%00%01", "\x00\x01"),
        ("string", "a=b", "a=b"),
        ("string", "%3D%26", "=&"),
        ("string", "100%", "100%"),
        ("int", "0", 0),
        ("int", "-0", 0),
        ("int", "007", 7),
        ("int", str(INT_MAX), INT_MAX),
        ("int", str(INT_MIN), INT_MIN),
        ("uint", str(UINT_MAX), UINT_MAX),
        ("wide", str(WIDE_MAX), WIDE_MAX),
        ("wide", str(WIDE_MIN), WIDE_MIN),
        ("bool", "true", True),
        ("bool", "FALSE", False),
        ("date", "1970-01-02", 1),
        ("date", "1969-12-31", -1),
        ("date", "0001-01-01", -719162),
        ("timestamp", "1970-01-01T00:00:01Z", 1_000_000),
        ("timestamp", "1970-01-01", 0),
        ("timestamp", "1970-01-01+00:00:00.5", 500_000),
        ("timestamp", "1970-01-01T01:00:00%2B01:00", 0),
        ("timestamp", "1970-01-01T01:00%2B0100", 0),
        ("timestamp", "1969-12-31T23:00-01", 0),
    ],
)
def test_text_of_each_kind(kind: KeyKind, value: str, form: Bound) -> None:
    bound = text(kind, value)
    assert bound == form
    assert type(bound) is type(form)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", ""),
        ("int", "x"),
        ("int", "1.0"),
        ("int", "1e3"),
        ("int", "%2B1"),
        ("int", "+1"),
        ("int", "1_000"),
        ("int", "0x10"),
        ("int", "%D9%A1"),  # an Arabic one
        ("int", str(INT_MAX + 1)),
        ("int", str(INT_MIN - 1)),
        ("int", "1" * 5000),
        ("uint", "-1"),
        ("uint", str(UINT_MAX + 1)),
        ("wide", str(WIDE_MAX + 1)),
        ("wide", str(WIDE_MIN - 1)),
        ("bool", ""),
        ("bool", "1"),
        ("bool", "yes"),
        ("date", "2013-1-1"),
        ("date", "2013-02-30"),
        ("date", "20130101"),
        ("date", "2013-W01-1"),
        ("date", "2013-01-01T00:00"),
        ("date", "%D9%A2%D9%A0%D9%A1%D9%A3-01-01"),
        ("date", "2013-01-01%0A"),
        ("timestamp", "2013-01-01T25:00"),
        ("timestamp", "2013-01-01T24:00:00"),
        ("timestamp", "2013-01-01T05:00:00.1234567"),
        ("timestamp", "2013-01-01T05:00:00+01:00"),  # a plus that was not escaped is a space
        ("timestamp", "2013-01-01T05:00:00%2B25:00"),
        ("timestamp", "now"),
    ],
)
def test_text_of_another_kind_is_refused(kind: KeyKind, value: str) -> None:
    assert refusal(lambda: text(kind, value)) == ("p", "type")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("string", [1, 1.5, True, [], {}]),
        ("int", ["1", 1.0, True, [1], INT_MAX + 1, 10**5000]),
        ("uint", ["1", -1, False]),
        ("wide", ["1", WIDE_MAX + 1, 1e3]),
        ("bool", ["true", 1, 0]),
        ("date", [1, "x", "2013-02-30", True]),
        ("timestamp", [0, "2013-01-01T5", None, [0]]),
    ],
)
def test_json_of_another_kind_is_refused(kind: KeyKind, values: list[object]) -> None:
    binder = Binder((Param("p", kind),))
    for value in values:
        wanted = ("p", "type") if value is not None else ("p", "required")
        assert refusal(lambda value=value: binder.from_object({"p": value})) == wanted  # type: ignore[misc]
        where = f"keys[3].{wanted[0]}", wanted[1]
        assert refusal(lambda value=value: binder.from_array(3, [value])) == where  # type: ignore[misc]


def test_names() -> None:
    binder = Binder((Param("a", "string"), Param("b c", "int"), Param("ä", "string", default="z")))
    assert binder.from_query(b"%C3%A4=q&b+c=1&a=x") == ("x", 1, "q")
    assert binder.from_query(b"&&b%20c=1&a=x&") == ("x", 1, "z")
    assert binder.from_object({"ä": None, "b c": 2, "a": ""}) == ("", 2, "z")
    assert binder.from_array(0, ["x", 1, None]) == ("x", 1, "z")
    assert refusal(lambda: binder.from_query(b"a=x")) == ("b c", "required")
    assert refusal(lambda: binder.from_query(b"")) == ("a", "required")
    assert refusal(lambda: binder.from_query(b"a=x&b+c=1&d=2")) == ("d", "unknown")
    assert refusal(lambda: binder.from_query(b"a=x&b+c=1&a=x")) == ("a", "repeated")
    assert refusal(lambda: binder.from_query(b"a=x&b+c=1&%61=x")) == ("a", "repeated")
    assert refusal(lambda: binder.from_query(b"a=%ff&b+c=1")) == ("a", "encoding")
    assert refusal(lambda: binder.from_query(b"%ff=1")) == ("a parameter name", "encoding")
    assert refusal(lambda: binder.from_query(b"=1")) == ("", "unknown")
    assert refusal(lambda: binder.from_query(b"a=%ed%a0%80&b+c=1")) == ("a", "encoding")  # a lone surrogate
    assert refusal(lambda: binder.from_array(7, ["x"])) == ("keys[7]", "length")
    assert refusal(lambda: binder.from_object({"x" * 10000: 1})) == ("x" * SHOWN_CHARS_MAX, "unknown")


def test_the_number_of_parameters_is_bounded() -> None:
    assert len(parse_query(b"&".join(b"p%d=1" % number for number in range(QUERY_PARAMS_MAX)))) == QUERY_PARAMS_MAX
    too_many = b"&".join(b"p%d=1" % number for number in range(QUERY_PARAMS_MAX + 1))
    assert refusal(lambda: parse_query(too_many)) == ("", "count")
    assert refusal(lambda: parse_query(b"&" * 4000)) == ("", "count")


@pytest.mark.parametrize(
    ("kind", "rules", "value", "rule"),
    [
        ("int", Rules(min=1), "1", None),
        ("int", Rules(min=1), "0", "min"),
        ("int", Rules(min=1.5), "1", "min"),
        ("int", Rules(max=9), "9", None),
        ("int", Rules(max=9), "10", "max"),
        ("int", Rules(enum=(1, 2)), "2", None),
        ("int", Rules(enum=(1, 2)), "3", "enum"),
        ("string", Rules(pattern="^[A-Z]{3}$"), "JFK", None),
        ("string", Rules(pattern="^[A-Z]{3}$"), "JFKX", "pattern"),
        ("string", Rules(pattern="^[A-Z]{3}$"), "JFK%0A", "pattern"),
        ("string", Rules(pattern=r"^\$[$]$"), "$$", None),
        ("string", Rules(pattern="^(a|b)$"), "c", "pattern"),
        ("string", Rules(enum=("a", "b")), "b", None),
        ("string", Rules(enum=("a", "b")), "A", "enum"),
        ("string", Rules(min="b"), "a", "min"),
        ("string", Rules(max="b"), "ba", "max"),
        ("date", Rules(min="2013-01-01"), "2013-01-01", None),
        ("date", Rules(min="2013-01-01"), "2012-12-31", "min"),
        ("date", Rules(enum=("2013-01-01",)), "2013-01-02", "enum"),
        ("timestamp", Rules(max="2013-01-01T00:00:00Z"), "2013-01-01T00:30:00%2B01:00", None),
        ("timestamp", Rules(max="2013-01-01T00:00:00Z"), "2013-01-01T00:30:00Z", "max"),
        ("int", Rules(min=1, max=9, enum=(5, 50)), "50", "max"),
    ],
)
def test_rules(kind: KeyKind, rules: Rules, value: str, rule: str | None) -> None:
    if rule is None:
        text(kind, value, rules)
    else:
        assert refusal(lambda: text(kind, value, rules)) == ("p", rule)


def test_a_default_takes_the_place_of_what_is_missing() -> None:
    binder = Binder((Param("day", "date", default="1970-01-03"), Param("n", "int", default=0)))
    assert binder.from_query(b"") == (2, 0)
    assert binder.from_query(b"n=5") == (2, 5)
    assert refusal(lambda: binder.from_query(b"n=")) == ("n", "type")


def test_a_rule_that_does_not_fit_is_the_programmers_error() -> None:
    for param in (
        Param("p", "int", Rules(min="x")),
        Param("p", "string", Rules(max=1.5)),
        Param("p", "date", default=1),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            Binder((param,))


def test_an_offending_value_is_shown_in_a_bearable_length() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**6, b"\xff" * 10**6, 10**5000, deep, list(range(10**5))):
        assert len(show(value)) <= SHOWN_CHARS_MAX
    while deep:  # piece by piece: Python frees nested lists by recursion
        deep = deep[0]  # type: ignore[assignment]


@given(st.binary(max_size=200))
def test_any_bytes_bind_or_are_refused(query: bytes) -> None:
    binder = Binder((Param("a", "string"), Param("b", "int", default=1)))
    try:
        bound = binder.from_query(query)
    except BadParam as error:
        assert error.rule  # noqa: PT017
    else:
        assert isinstance(bound[0], str)
        assert isinstance(bound[1], int)
