"""Which key is guessed from a table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.key_guess import guess_key
from havok.settings import LoaderSettings
from loader import duck
from loader.relation import canonical
from loader.source import Query


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duck.Session]:
    with duck.session(LoaderSettings(memory_mb=256, threads=2), tmp_path_factory.mktemp("spill")) as connection:
        yield connection


CASES = {
    "the first column": ("SELECT 'x' || i AS faa, i % 3 AS zone FROM range(50) t(i)", ("faa",)),
    "a name like a key before an earlier unique column": (
        "SELECT 'n' || i AS name, i AS customer_id FROM range(50) t(i)", ("customer_id",)),
    "camel case": ("SELECT 'n' || i AS name, i AS customerId FROM range(50) t(i)", ("customerId",)),
    "an id that is not unique is none": ("SELECT i % 5 AS id, 'n' || i AS name FROM range(50) t(i)", ("name",)),
    "nulls disqualify": ("SELECT CASE WHEN i > 0 THEN i END AS id, 'n' || i AS name FROM range(50) t(i)", ("name",)),
    "doubles are no keys": ("SELECT i + 0.5::DOUBLE AS id, i % 7 AS a, i // 7 AS b FROM range(49) t(i)", ("a", "b")),
    "a pair, as it stands in the table": (
        "SELECT (i // 10) AS b, (i % 10) AS a, 1.0::DOUBLE AS v FROM range(100) t(i)", ("b", "a")),
    "a triple": (
        "SELECT i % 4 AS x, (i // 4) % 4 AS y, i // 16 AS z, 'same' AS s FROM range(64) t(i)", ("x", "y", "z")),
    "nothing is unique": ("SELECT i % 4 AS x, 'same' AS s FROM range(64) t(i)", ()),
    "no column can be a key": ("SELECT i + 0.5::DOUBLE AS x FROM range(64) t(i)", ()),
    "an empty table": ("SELECT i AS a, i AS b_id FROM range(0) t(i)", ("b_id",)),
    "a quoted name": ('SELECT i AS "odd ""id""", 1 AS x FROM range(9) t(i)', ('odd "id"',)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_guess(session: duck.Session, case: str) -> None:
    sql, key = CASES[case]
    described = session.sql(sql)
    relation = canonical(Query("q", sql), sql, list(zip(described.columns, described.types, strict=True)))
    found, rows = guess_key(session, relation.sql, relation.columns)
    assert found == key
    assert rows == session.sql(f"SELECT count(*) FROM ({sql})").fetchall()[0][0]


def test_the_flights_have_a_key_of_three(session: duck.Session) -> None:
    file = Path(__file__).parents[2] / "examples" / "flights" / "flights.parquet"
    sql = f"SELECT * FROM read_parquet('{file}')"
    described = session.sql(sql)
    relation = canonical(Query("q", sql), sql, list(zip(described.columns, described.types, strict=True)))
    key, rows = guess_key(session, relation.sql, relation.columns)
    assert rows == 336_776
    assert session.sql(f"SELECT count(*) FROM (SELECT DISTINCT {duck.names(key)} FROM ({sql}))").fetchall() == [(rows,)]
