"""What a caller is told of a query that DuckDB could not run holds no value of a row; the log has it."""

from collections.abc import Iterator

import duckdb
import pytest

from engine.analysis.reports import explain
from havok.errors import QueryFailed

SECRET, NUMBER = "N5DNAA", 9_000_000_000_000_000_000


@pytest.fixture(scope="module")
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS SELECT '{SECRET}' AS s, {NUMBER} AS n, 1e300 AS d")
        yield connection


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("s::BIGINT", "a text cannot be read as INT64"),
        ("(s || chr(10) || 'x')::INTEGER", "a text cannot be read as INT32"),
        ("(s || ''' to ')::INTEGER", "a text cannot be read as INT32"),
        ("s::UUID", "a text cannot be read as UUID"),
        ("s::ENUM('a')", "a value cannot be converted to the type it is cast to"),
        ("s::DATE", "a text is no date"),
        ("s::TIMESTAMP", "a text is no timestamp"),
        ("s::TIME", "a text is no time"),
        ("s::JSON", "a text is no JSON"),
        ("s::INTEGER[]", "a value does not fit INTEGER"),
        ("strptime(s, '%d')", "a text is not in the format that it is read by"),
        ("regexp_matches('a', s || '(')", "a function was given what it cannot take"),
        ("error(s)", "a function was given what it cannot take"),
        ("n::INTEGER", "a value does not fit INT32"),
        ("n::DECIMAL(3,0)", "a value does not fit DECIMAL(3,0)"),
        ("d::DECIMAL(5,2)", "a value does not fit DECIMAL(5,2)"),
        ("n * n", "an overflow in multiplication"),
        ("1::BIGINT << n", "a value is out of range"),
        ("(SELECT n FROM range(3))", "more than one row came from a subquery that stands for a value"),
    ],
)
def test_no_value_is_told(session: duckdb.DuckDBPyConnection, value: str, said: str) -> None:
    with pytest.raises(duckdb.Error) as caught:
        session.execute(f"SELECT {value} AS x FROM t").fetchall()
    error = explain(caught.value, 64)
    assert isinstance(error, QueryFailed)
    assert error.detail == f"the query cannot be calculated: {said}"
    assert error.seen
