"""Types meet as DuckDB says they do."""

import itertools

import duckdb
import pytest

from engine import sqltype

TYPES = (
    *sqltype.INTEGERS, "DOUBLE", "FLOAT", "VARCHAR", "DATE", "TIMESTAMP", "DECIMAL(10,2)", "DECIMAL(18,4)",
    "DECIMAL(38,10)", "DECIMAL(4,4)",
)  # fmt: skip
PAIRS = list(itertools.product(TYPES, TYPES))


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def said(db: duckdb.DuckDBPyConnection, expression: str, left: str, right: str) -> str | None:
    """The type that DuckDB gives an expression over columns `a` and `b`; None when it refuses it."""
    try:
        found = db.sql(f"SELECT {expression} FROM (SELECT NULL::{left} AS a, NULL::{right} AS b)")
    except duckdb.Error:
        return None
    return str(found.types[0]).replace(", ", ",")


def test_common_types(db: duckdb.DuckDBPyConnection) -> None:
    for left, right in PAIRS:
        assert sqltype.common(left, right) == said(db, "coalesce(a, b)", left, right), (left, right)


def test_integers_calculated_with(db: duckdb.DuckDBPyConnection) -> None:
    for left, right in itertools.product(sqltype.INTEGERS, sqltype.INTEGERS):
        for sign in ("+", "-", "*", "//", "%"):
            assert sqltype.calculated(left, right) == said(db, f"a {sign} b", left, right), (left, sign, right)


def test_decimals_calculated_with(db: duckdb.DuckDBPyConnection) -> None:
    exact = [
        (left, right)
        for left, right in PAIRS
        if {sqltype.family(left), sqltype.family(right)} in ({"decimal"}, {"int", "decimal"})
    ]
    assert len(exact) > 50
    for left, right in exact:
        assert sqltype.sum_of_decimals(left, right) == said(db, "a + b", left, right), (left, right)
        assert sqltype.product_of_decimals(left, right) == said(db, "a * b", left, right), (left, right)


def test_rounded_integers(db: duckdb.DuckDBPyConnection) -> None:
    for kind in sqltype.INTEGERS:
        assert sqltype.rounded(kind) == said(db, "round(a)", kind, kind), kind
