"""DuckDB is the oracle: random expressions have its types and its values, NULLs included.

Hypothesis draws expressions and rows. HAVOK_ORACLE says how many, HAVOK_SEED which.
"""

import datetime
import decimal
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb
import pytest

from engine.queries.casts import single
from engine.queries.scalar import Emitter
from engine.sql.resolver import Resolver
from engine.sql.scope import Scope, Source
from engine.sql.statement import Statement
from engine.sqltype import width_and_scale
from havok.errors import HavokError, QueryFailed
from havok.manifest import Column, Manifest
from tests.engine.draws import Draws
from tests.engine.expressions import Maker
from tests.engine.properties import hold, wanted

EXPRESSIONS = 400  # in CI
ROWS = 6
EXPRESSIONS_PER_EXAMPLE = 5
COLUMNS = {
    "i8": "TINYINT", "i16": "SMALLINT", "i32": "INTEGER", "i64": "BIGINT", "u8": "UTINYINT", "u64": "UBIGINT",
    "f": "FLOAT", "d": "DOUBLE", "dec": "DECIMAL(10,2)", "wide": "DECIMAL(30,6)", "s": "VARCHAR", "s2": "VARCHAR",
    "dt": "DATE", "ts": "TIMESTAMP", "b": "BOOLEAN", "b2": "BOOLEAN",
}  # fmt: skip
MANIFEST = Manifest(
    dataset="t", version="v", created="", columns=tuple(Column(name, kind) for name, kind in COLUMNS.items()), key=(),
    rows=ROWS, files={}, source="test",
)  # fmt: skip
_NEW_YEAR = datetime.datetime(2013, 1, 1)
_TEXTS = ("", "a", "abc", "Abc", "a%c", "héllo", "  x ", "B", "zz", "a_c", "12")
_INTEGERS = {"TINYINT": 127, "SMALLINT": 300, "INTEGER": 100_000, "BIGINT": 10**9, "UTINYINT": 255, "UBIGINT": 10**6}


def value(draw: random.Random, kind: str) -> Any:
    if draw.random() < 0.2:
        return None
    if kind in _INTEGERS:
        most = _INTEGERS[kind]
        least = 0 if kind.startswith("U") else -most
        return draw.choice((0, 1, max(least, -1), least, most, draw.randint(least, most)))
    if kind == "FLOAT":
        return draw.choice((0.0, 1.5, -2.25, 0.5, 100.0, single(0.15)))
    if kind == "DOUBLE":
        drawn = draw.uniform(-100, 100), draw.randint(-9999, 9999) / 40
        return draw.choice((0.0, 1.5, -2.5, 0.1, 1e10, -0.3, 2.675, 9999.15, *drawn))
    if kind.startswith("DECIMAL"):
        _, scale = width_and_scale(kind)
        return decimal.Decimal(draw.randint(-(10**6), 10**6) * 10 ** draw.choice((0, 0, scale - 2))).scaleb(-scale)
    if kind == "VARCHAR":
        return draw.choice(_TEXTS)
    if kind == "DATE":
        return (
            _NEW_YEAR + datetime.timedelta(days=draw.choice((0, 364, -5000, 4076, draw.randint(-9000, 9000))))
        ).date()
    if kind == "TIMESTAMP":
        seconds, micros = draw.randint(-(10**8), 10**8), draw.choice((0, 0, 500_000, 123))
        return _NEW_YEAR + datetime.timedelta(seconds=seconds, microseconds=micros)
    return draw.random() < 0.5


def same(mine: Any, theirs: Any) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, float) or isinstance(theirs, float):
        mine, theirs = float(mine), float(theirs)
        return mine == theirs or (mine != mine and theirs != theirs) or math.isclose(mine, theirs, rel_tol=1e-13)
    return isinstance(mine, bool) == isinstance(theirs, bool) and mine == theirs


class Compiled:
    """An expression as Python functions of a row: its value, whether it is TRUE, whether it is FALSE."""

    def __init__(self, text: str, manifest: Manifest) -> None:
        statement = Statement(f"SELECT {text} AS x FROM t")
        resolver = Resolver(statement, Scope(statement, [Source("t", manifest)], {}))
        self.expression = resolver.expression(statement.select.expressions[0].unalias())
        emitter = Emitter(lambda leaf: f"c_{leaf.name}")  # type: ignore[union-attr]
        forms = [emitter.value(self.expression)]
        if self.expression.type == "BOOLEAN":
            forms += [emitter.truth(self.expression), emitter.falsity(self.expression)]
        arguments = ", ".join(f"c_{name}" for name in COLUMNS)
        self.functions = [eval(f"lambda {arguments}: {form}", dict(emitter.constants)) for form in forms]


def asked(db: duckdb.DuckDBPyConnection, text: str, row: Sequence[Any]) -> Any:
    """DuckDB's value for one row; an exception where it refuses."""
    columns = ", ".join(f"?::{kind} AS {name}" for name, kind in COLUMNS.items())
    try:
        return (db.execute(f"SELECT {text} FROM (SELECT {columns})", list(row)).fetchone() or (None,))[0]
    except (duckdb.Error, decimal.InvalidOperation) as error:
        return error


class Expressions:
    """Expressions over rows, all of them drawn, and how they went."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db
        db.execute(f"CREATE OR REPLACE TABLE t ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        self.went: Counter[str] = Counter()

    def check(self, draws: Draws) -> None:
        maker = Maker(draws.source)
        rows = [tuple(value(draws.source, kind) for kind in COLUMNS.values()) for _ in range(ROWS)]
        for _ in range(EXPRESSIONS_PER_EXAMPLE):
            text = maker.any(draws.between(1, 4))
            draws.tell(text)
            compiled = Compiled(text, MANIFEST)
            found = str(self._db.sql(f"SELECT {text} AS x FROM t").types[0]).replace(", ", ",")
            assert compiled.expression.type in (found, "NULL"), text
            for row in rows:
                self.went[self._compare(text, compiled, row)] += 1

    def _compare(self, text: str, compiled: Compiled, row: Sequence[Any]) -> str:
        theirs = asked(self._db, text, row)
        try:
            mine, *sides = (function(*row) for function in compiled.functions)
        except HavokError as error:
            mine, sides = error, []
        failed = [isinstance(side, Exception) for side in (mine, theirs)]
        if any(failed):
            return "error" if all(failed) else "one-sided"
        shown = f"{text}: {mine!r} instead of {theirs!r} for {dict(zip(COLUMNS, row, strict=True))}"
        assert same(mine, theirs), shown
        if sides:
            assert [bool(side) for side in sides] == [theirs is True, theirs is False], shown
        return "compared"


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@pytest.mark.timeout(900)  # a failure is shrunk
def test_random_expressions(db: duckdb.DuckDBPyConnection) -> None:
    expressions, seed = wanted(EXPRESSIONS)
    made = Expressions(db)
    hold(made.check, max(1, expressions // EXPRESSIONS_PER_EXAMPLE), seed)
    print(dict(made.went))
    # Which operand of AND is looked at first is nobody's promise; both must know errors, though.
    assert made.went["one-sided"] < made.went["compared"] / 50


@pytest.mark.parametrize("text", ["dec + NULL", "NULL * wide", "wide % NULL", "NULL + NULL", "NULL % i8", "d - NULL"])
def test_calculating_with_null(db: duckdb.DuckDBPyConnection, text: str) -> None:
    Expressions(db)
    compiled = Compiled(text, MANIFEST)
    assert compiled.expression.type == str(db.sql(f"SELECT {text} AS x FROM t").types[0]).strip('"')
    assert compiled.functions[0](*[1] * len(COLUMNS)) is None


def test_the_remainder_of_decimals_too_wide_for_one(db: duckdb.DuckDBPyConnection) -> None:
    """Of DOUBLEs then, but zero is an error still."""
    text = "wide % CAST(i8 AS DECIMAL(38,20))"
    compiled = Compiled(text, MANIFEST)
    rows = [{"wide": decimal.Decimal("7.500000"), "i8": divisor} for divisor in (2, 0, None)]
    found = []
    for row in ([row.get(name) for name in COLUMNS] for row in rows):
        found.append(asked(db, text, row))
        if isinstance(found[-1], Exception):
            with pytest.raises(QueryFailed, match="division by zero"):
                compiled.functions[0](*row)
        else:
            assert compiled.functions[0](*row) == found[-1]
    assert found[0] == 1.5
    assert isinstance(found[1], duckdb.Error)
