"""JSON of each type, and key bytes equal to those of havok.keys."""

import datetime
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from havok.keys import KeyKind, encode, encode_nullable
from loader import duck, render


def rendered(session: duck.Session, expression: str) -> str:
    relation = session.sql(f"SELECT {expression} AS v")
    columns = list(zip(relation.columns, relation.types, strict=True))
    (text,) = duck.one(session, f"SELECT {render.row_json(columns)} FROM (SELECT {expression} AS v)")
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert text.startswith('{"v":')
    return str(text)[5:-1]


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("NULL", "null"),
        ("true", "true"),
        ("(-9223372036854775808)::BIGINT", "-9223372036854775808"),
        ("18446744073709551615::UBIGINT", "18446744073709551615"),
        ("99999999999999999999999999999999999999::DECIMAL(38,0)", "9" * 38),
        ("1.50::DECIMAL(5,2)", "1.50"),
        ("0.5::DECIMAL(2,2)", "0.50"),
        ("(-0.5)::DECIMAL(2,2)", "-0.50"),
        ("0::DECIMAL(2,2)", "0.00"),
        ("12345678901234567890123456789.123456789::DECIMAL(38,9)", "12345678901234567890123456789.123456789"),
        ("0.1::DOUBLE", "0.1"),
        ("1e300::DOUBLE", "1e+300"),
        ("5::DOUBLE", "5.0"),
        ("0.1::FLOAT", "0.10000000149011612"),
        ("'nan'::DOUBLE", "null"),
        ("'-infinity'::FLOAT", "null"),
        ("DATE '2020-02-29'", '"2020-02-29"'),
        ("'infinity'::DATE", "null"),
        ("TIMESTAMP '2020-01-01 00:00:00'", '"2020-01-01T00:00:00"'),
        ("TIMESTAMP '2020-01-01 10:00:00.123456'", '"2020-01-01T10:00:00.123456"'),
        ("'-infinity'::TIMESTAMP", "null"),
        ("TIMESTAMPTZ '2020-01-01 02:00:00+02'", '"2020-01-01T00:00:00Z"'),
        ("'infinity'::TIMESTAMPTZ", "null"),
        (r"'\x00\xFFab'::BLOB", '"AP9hYg=="'),
        ("''::BLOB", '""'),
        (r"""'{"a": 1.500, "b": 12345678901234567890123}'::JSON""", '{"a": 1.500, "b": 12345678901234567890123}'),
        ("'é\"\\' || chr(10) || chr(0)", r'"é\"\\\n\u0000"'),
        ("[1.0, 'nan'::DOUBLE, NULL]", "[1.0,null,null]"),
        ("[]::INTEGER[]", "[]"),
        ("NULL::INTEGER[]", "null"),
        ("[[1], NULL, []]", "[[1],null,[]]"),
        ("{'a': 1, 'b c': ['x', NULL]}", '{"a":1,"b c":["x",null]}'),
        ("{'a': {'b': 'nan'::FLOAT, 'c': 0.5::DECIMAL(1,1)}}", '{"a":{"b":null,"c":0.5}}'),
        ("NULL::STRUCT(a INTEGER)", "null"),
        ("[{'t': TIMESTAMPTZ '2020-01-01 00:00:00+00'}]", '[{"t":"2020-01-01T00:00:00Z"}]'),
        ("MAP {'a': 1.5, 'b': NULL}", '{"a":1.5,"b":null}'),
        ("MAP {1: ['x']}", '{"1":["x"]}'),
        ("MAP {}::MAP(VARCHAR, INTEGER)", "{}"),
    ],
)
def test_json_of_each_type(session: duck.Session, expression: str, shown: str) -> None:
    assert rendered(session, expression) == shown


@pytest.mark.parametrize("column", ["a b", 'say "x"', "Größe", "back\\slash", "it's", "select", "line\nbreak"])
def test_column_names_are_arbitrary_text(session: duck.Session, column: str) -> None:
    table = f"(SELECT 1 AS {duck.name(column)}, {{{duck.text(column)}: 2}} AS other)"
    relation = session.sql(f"SELECT * FROM {table}")
    columns = list(zip(relation.columns, relation.types, strict=True))
    (text,) = duck.one(session, f"SELECT {render.row_json(columns)} FROM {table}")
    assert json.loads(text) == {column: 1, "other": {column: 2}}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40), number=st.floats())
def test_texts_and_doubles_come_back_exactly(session: duck.Session, text: str, number: float) -> None:
    relation = session.sql("SELECT NULL::VARCHAR AS s, NULL::DOUBLE AS d")
    columns = list(zip(relation.columns, relation.types, strict=True))
    found = session.execute(
        f"SELECT {render.row_json(columns)} FROM (SELECT ?::VARCHAR AS s, ?::DOUBLE AS d)", [text, number]
    )
    row = found.fetchone()
    assert row is not None
    wanted = number if math.isfinite(number) else None
    assert json.loads(row[0]) == {"s": text, "d": wanted}


def test_nonfinite_values_are_counted_at_any_depth(session: duck.Session) -> None:
    table = """(SELECT unnest([1::DOUBLE, 'nan'::DOUBLE, NULL]) AS a, [1::FLOAT, 'inf'::FLOAT, NULL] AS b,
                {'x': 'nan'::DOUBLE, 'y': ['nan'::DOUBLE]} AS c, MAP {'k': '-inf'::DOUBLE} AS d,
                'infinity'::DATE AS e, 'infinity'::TIMESTAMPTZ AS f, 'x' AS g, NULL::DOUBLE[] AS h)"""
    relation = session.sql(f"SELECT * FROM {table}")
    columns = list(zip(relation.columns, relation.types, strict=True))
    # Three rows: one NaN in `a`; in every row one in b, two in c, one each in d, e, f.
    assert duck.one(session, f"SELECT {render.nonfinite(columns)} FROM {table}") == (1 + 3 * 6,)
    assert duck.one(session, f"SELECT {render.nonfinite(columns)} FROM {table} WHERE false") == (0,)
    assert render.nonfinite([("g", columns[6][1])]) == "0"


VALUES: dict[KeyKind, tuple[str, st.SearchStrategy[Any]]] = {
    "string": (
        "VARCHAR",
        st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("\x00\x01\x02"), max_size=30),
    ),
    "int": ("BIGINT", st.integers(-(1 << 63), (1 << 63) - 1)),
    "uint": ("UBIGINT", st.integers(0, (1 << 64) - 1)),
    "wide": ("DECIMAL(38,0)", st.integers(1 - 10**38, 10**38 - 1)),
    "bool": ("BOOLEAN", st.booleans()),
    "date": ("DATE", st.dates(min_value=datetime.date(1, 1, 1))),
    "timestamp": ("TIMESTAMP", st.datetimes(min_value=datetime.datetime(1, 1, 1))),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_key_bytes_are_those_of_havok_keys(session: duck.Session, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    values = [data.draw(VALUES[kind][1]) for kind in kinds]
    nullable = [None if data.draw(st.booleans()) else value for value in values]
    pairs = [(f"c{i}", kind) for i, kind in enumerate(kinds)]

    def found(expression: str, bound: list[Any]) -> bytes:
        columns = ", ".join(f"?::{VALUES[kind][0]} AS c{i}" for i, kind in enumerate(kinds))
        given = [Decimal(v) if k == "wide" and v is not None else v for k, v in zip(kinds, bound, strict=True)]
        row = session.execute(f"SELECT {expression} FROM (SELECT {columns})", given).fetchone()
        assert row is not None
        return bytes(row[0])

    assert found(render.key_bytes(pairs), values) == encode(kinds, values)
    assert found(render.nullable_bytes(pairs), nullable) == encode_nullable(kinds, nullable)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES["string"][1], min_size=2, max_size=30))
def test_duckdb_sorts_strings_in_key_order(session: duck.Session, texts: list[str]) -> None:
    session.execute("CREATE OR REPLACE TEMP TABLE texts AS SELECT unnest(?::VARCHAR[]) AS s", [texts])
    ordered = [row[0] for row in duck.rows(session, "SELECT s FROM texts ORDER BY s")]
    assert ordered == sorted(texts, key=lambda text: encode(["string"], [text]))
