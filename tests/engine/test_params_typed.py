"""Binding of parameters with SQL types: values, lists, rules, defaults, names left to the caller."""

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.param_values import param_kind
from engine.params import ITEMS_MAX, Binder
from engine.plan import Param, Rules
from havok.errors import BadParam


def typed(type_text: str, rules: Rules = Rules(), **more: Any) -> Binder:  # noqa: B008
    return Binder((Param("p", param_kind(type_text), rules, type=type_text, **more),))


def refused(call: Callable[[], object]) -> BadParam:
    with pytest.raises(BadParam) as error:
        call()
    return error.value


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    found = refused(call)
    return found.param, found.rule


def detail(call: Callable[[], object]) -> str:
    return refused(call).detail


def test_values_of_sql_types() -> None:
    binder = Binder(
        tuple(
            Param(name, param_kind(type_text), type=type_text)
            for name, type_text in (("d", "DATE"), ("t", "TIMESTAMP"), ("x", "DOUBLE"), ("m", "DECIMAL(10,2)"))
        )
    )
    wanted = (datetime.date(2013, 1, 31), datetime.datetime(2013, 1, 31, 5), 0.5, Decimal("1.50"))
    assert binder.from_query(b"d=2013-01-31&t=2013-01-31T06:00%2B01:00&x=5e-1&m=1.5") == wanted
    assert binder.from_object({"d": "2013-01-31", "t": "2013-01-31T05:00Z", "x": 0.5, "m": "1.50"}) == wanted


@pytest.mark.parametrize(
    ("type_text", "query", "told"),
    [
        ("DOUBLE", b"p=nan", "parameter p must be a finite number, not 'nan'"),
        (
            "DECIMAL(10,2)",
            b"p=1.005",
            "parameter p must be a number of at most 8 digits before the point and 2 after it, not '1.005'",
        ),
        ("DECIMAL(3,0)", b"p=1000", "parameter p must be a whole number of at most 3 digits, not '1000'"),
        (
            "TIMESTAMP",
            b"p=0001-01-01T00:00%2B01:00",
            "parameter p must be an ISO 8601 timestamp, as 2013-01-31T05:00:00Z, not '0001-01-01T00:00+01:00'",
        ),
        ("BIGINT[]", b"p=1,x,3", "parameter p[1] must be an integer of 64 bits, not 'x'"),
        ("BIGINT[]", b"p=1,", "parameter p[1] must be an integer of 64 bits, not ''"),
        ("BIGINT[]", b"", "parameter p is required: a list, each item an integer of 64 bits"),
    ],
)
def test_refusals_teach(type_text: str, query: bytes, told: str) -> None:
    assert detail(lambda: typed(type_text).from_query(query)) == told


def test_refusals_of_json_teach() -> None:
    assert detail(lambda: typed("BIGINT[]").from_object({"p": "1,2"})) == (
        "parameter p must be a list, each item an integer of 64 bits, not '1,2'"
    )
    assert detail(lambda: typed("BIGINT[]").from_object({"p": [1, None]})) == (
        "parameter p[1] must be an integer of 64 bits, not null"
    )
    assert detail(lambda: typed("BIGINT").from_object({"p": Decimal("1.5")})) == (
        "parameter p must be an integer of 64 bits, not 1.5"
    )


@pytest.mark.parametrize(
    ("type_text", "query", "values"),
    [
        ("VARCHAR[]", b"p=", []),
        ("VARCHAR[]", b"p", []),
        ("VARCHAR[]", b"p=N1", ["N1"]),
        ("VARCHAR[]", b"p=N1,N2", ["N1", "N2"]),
        ("VARCHAR[]", b"p=N1%2CN2", ["N1", "N2"]),
        ("VARCHAR[]", b"p=,", ["", ""]),
        ("VARCHAR[]", b"p=a+b,%C3%A4", ["a b", "ä"]),
        ("BIGINT[]", b"p=1,-2,1", [1, -2, 1]),
        ("BOOLEAN[]", b"p=true,False", [True, False]),
        ("DATE[]", b"p=2013-01-31", [datetime.date(2013, 1, 31)]),
        ("DOUBLE[]", b"p=1,2.5", [1.0, 2.5]),
        ("DECIMAL(4,1)[]", b"p=1,2.5", [Decimal("1.0"), Decimal("2.5")]),
        (
            "TIMESTAMP WITH TIME ZONE[]",
            b"p=2013-01-31,2013-01-31T05Z,1970-01-01",
            None,  # an hour alone is no time
        ),
    ],
)
def test_lists_in_a_query(type_text: str, query: bytes, values: list[object] | None) -> None:
    if values is None:
        assert refusal(lambda: typed(type_text).from_query(query)) == ("p[1]", "type")
    else:
        assert typed(type_text).from_query(query) == (values,)


def test_lists_in_json() -> None:
    assert typed("VARCHAR[]").from_object({"p": ["a,b", ""]}) == (["a,b", ""],)
    assert typed("BIGINT[]").from_object({"p": []}) == ([],)
    for value, param in ((["1"], "p[0]"), ([1, True], "p[1]"), ([1, [2]], "p[1]"), (1, "p"), ({}, "p")):
        assert refusal(lambda value=value: typed("BIGINT[]").from_object({"p": value})) == (param, "type")  # type: ignore[misc]


def test_lists_are_bounded() -> None:
    few = typed("BIGINT[]", items_max=2)
    assert few.from_query(b"p=1,2") == ([1, 2],)
    assert refusal(lambda: few.from_query(b"p=1,2,x")) == ("p", "max_items")
    assert refusal(lambda: few.from_object({"p": [1, 2, "x"]})) == ("p", "max_items")
    assert detail(lambda: few.from_query(b"p=,,")) == "parameter p has 3 items; at most 2 in one request"
    many = typed("BIGINT[]")
    assert len(cast(list[object], many.from_object({"p": [1] * ITEMS_MAX})[0])) == ITEMS_MAX
    assert refusal(lambda: many.from_object({"p": [1] * (ITEMS_MAX + 1)})) == ("p", "max_items")


@pytest.mark.parametrize(
    ("type_text", "rules", "query", "where"),
    [
        ("DATE", Rules(min="2013-01-01"), b"p=2013-01-01", None),
        ("DATE", Rules(min="2013-01-01"), b"p=2012-12-31", ("p", "min")),
        ("TIMESTAMP", Rules(max="2013-01-01T01:00+01"), b"p=2013-01-01T00:00:00.1", ("p", "max")),
        ("TIMESTAMP WITH TIME ZONE", Rules(max="2013-01-01"), b"p=2013-01-01T00:00Z", None),
        ("DOUBLE", Rules(min=1), b"p=0.999", ("p", "min")),
        ("DOUBLE", Rules(enum=(1, 0.5)), b"p=.5", None),
        ("DECIMAL(4,1)", Rules(min=0.05), b"p=0", ("p", "min")),  # a bound finer than the type
        ("DECIMAL(4,1)", Rules(min="0.05"), b"p=0.1", None),
        ("DECIMAL(4,1)", Rules(enum=(0.1,)), b"p=0.1", None),
        ("DECIMAL(4,1)", Rules(enum=(0.1,)), b"p=0.2", ("p", "enum")),
        ("BIGINT[]", Rules(min=1, max=5), b"p=1,5,6", ("p[2]", "max")),
        ("BIGINT[]", Rules(min=1.5), b"p=2,1", ("p[1]", "min")),
        ("VARCHAR[]", Rules(pattern="^[A-Z]$"), b"p=A,B", None),
        ("VARCHAR[]", Rules(pattern="^[A-Z]$"), b"p=A,b", ("p[1]", "pattern")),
        ("VARCHAR[]", Rules(enum=("a", "b")), b"p=c", ("p[0]", "enum")),
        ("VARCHAR[]", Rules(enum=("a", "b")), b"p=", None),
    ],
)
def test_rules_of_sql_types(type_text: str, rules: Rules, query: bytes, where: tuple[str, str] | None) -> None:
    binder = typed(type_text, rules)
    if where is None:
        binder.from_query(query)
    else:
        assert refusal(lambda: binder.from_query(query)) == where
        with pytest.raises(BadParam, match=f"parameter {re.escape(where[0])} must"):
            binder.from_query(query)


def test_defaults_of_sql_types() -> None:
    assert typed("DATE", default="2013-01-31").from_query(b"") == (datetime.date(2013, 1, 31),)
    assert typed("DOUBLE", default=1).from_query(b"") == (1.0,)
    assert typed("DECIMAL(4,2)", default=0.1).from_query(b"") == (Decimal("0.10"),)
    assert typed("BIGINT[]", default=()).from_query(b"") == ([],)
    assert typed("DATE[]", default=("2013-01-31",)).from_object({"p": None}) == ([datetime.date(2013, 1, 31)],)
    wrong: list[tuple[str, Any]] = [
        ("DATE", "x"), ("DOUBLE", "1"), ("DECIMAL(4,2)", 0.001), ("BIGINT[]", 1), ("BIGINT[]", (1, "x")),
    ]  # fmt: skip
    for type_text, default in wrong:
        with pytest.raises(ValueError):  # noqa: PT011
            typed(type_text, default=default)
    with pytest.raises(ValueError, match="at most 1"):
        typed("BIGINT[]", default=(1, 2), items_max=1)
    with pytest.raises(ValueError, match=r"p\[0\] must be at most 1"):
        typed("BIGINT[]", Rules(max=1), default=(2,))


def test_reserved_names_are_the_callers() -> None:
    binder = Binder((Param("a", "int"),), reserved=("cursor", "meta"))
    assert binder.from_query(b"cursor=x&a=1&meta") == (1,)
    assert binder.from_object({"a": 1, "meta": True}) == (1,)
    assert refusal(lambda: binder.from_query(b"a=1&b=2")) == ("b", "unknown")
    assert detail(lambda: binder.from_query(b"b=2")) == "there is no parameter 'b'; known: a, cursor, meta"
    assert refusal(lambda: binder.from_query(b"cursor=x")) == ("a", "required")
    assert refusal(lambda: binder.from_query(b"a=1&cursor=x&cursor=y")) == ("cursor", "repeated")
    assert detail(lambda: Binder(()).from_query(b"b=2")) == "there is no parameter 'b'; known: none"


@given(st.sampled_from(["VARCHAR[]", "BIGINT[]", "DATE[]", "TIMESTAMP[]", "DOUBLE[]", "DECIMAL(9,3)[]"]), st.text())
def test_any_text_is_a_list_or_refused(type_text: str, value: str) -> None:
    binder = typed(type_text, items_max=3)
    try:
        found = binder.from_query(b"p=" + quote(value).encode())
    except BadParam as error:
        assert error.rule in ("type", "max_items")  # noqa: PT017
    else:
        assert len(cast(list[object], found[0])) == (value.count(",") + 1 if value else 0)
