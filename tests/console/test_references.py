"""Which columns refer to another table: few and right."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.references import Table, find, singular
from havok.settings import LoaderSettings
from loader import duck

PEOPLE = "SELECT range::BIGINT AS id, 'p' || range AS code, 'name ' || range AS name FROM range(100)"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[duck.Session]:
    with duck.session(LoaderSettings(), tmp_path) as connection:
        yield connection


def table(session: duck.Session, name: str, sql: str, *key: str) -> tuple[Table, str]:
    described = duck.rows(session, f"DESCRIBE {sql}")
    columns, types = tuple(row[0] for row in described), tuple(row[1] for row in described)
    return Table(name, f"{name}.csv", key, 1, columns, types), sql


def found(session: duck.Session, *tables: tuple[Table, str]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(item.child.name, item.columns, item.parent.name) for item in find(session, tables)]


@pytest.mark.parametrize("column", ["person_id", "personId", "people_id", "Person", "people"])
def test_named_after_the_table(session: duck.Session, column: str) -> None:
    people = table(session, "people" if column.startswith("people") else "persons", PEOPLE, "id")
    sql = f'SELECT range::BIGINT AS id, (range % 60)::BIGINT AS "{column}" FROM range(300)'
    assert found(session, people, table(session, "letters", sql, "id")) == [("letters", (column,), people[0].name)]


def test_named_like_the_key_though_some_rows_are_missing(session: duck.Session) -> None:
    planes = table(session, "planes", "SELECT 'N' || range AS tailnum FROM range(80)", "tailnum")
    flights = table(
        session, "flights", "SELECT range::BIGINT AS number, 'N' || range % 100 AS tailnum FROM range(500)", "number"
    )
    assert found(session, planes, flights) == [("flights", ("tailnum",), "planes")]


def test_a_whole_key_of_several_columns(session: duck.Session) -> None:
    sql = "SELECT 'JFK' AS origin, range::BIGINT AS hour, 20 AS temp FROM range(24)"
    weather = table(session, "weather", sql, "origin", "hour")
    sql = "SELECT range::BIGINT AS id, 'JFK' AS origin, range % 24 AS hour FROM range(99)"
    assert found(session, weather, table(session, "flights", sql, "id")) == [("flights", ("origin", "hour"), "weather")]


def test_by_values_alone_only_texts_of_which_many_are_all_there(session: duck.Session) -> None:
    people = table(session, "persons", PEOPLE, "code")
    for sql, wanted in {
        "SELECT range::BIGINT AS id, 'p' || range % 50 AS author FROM range(300)": [("t", ("author",), "persons")],
        "SELECT range::BIGINT AS id, 'p' || range % 19 AS author FROM range(300)": [],  # too few to tell
        "SELECT range::BIGINT AS id, 'p' || range % 110 AS author FROM range(300)": [],  # a tenth is unknown
    }.items():
        assert found(session, people, table(session, "t", sql, "id")) == wanted


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT range::BIGINT AS id, range::BIGINT % 50 AS quantity FROM range(300)",  # numbers are among numbers
        "SELECT range::BIGINT AS id, range::BIGINT + 1000 AS person_id FROM range(300)",  # a name, and other values
        "SELECT range::BIGINT AS id, 'p' || range AS person_id FROM range(300)",  # another type
        "SELECT range::BIGINT AS id, NULL::BIGINT AS person_id FROM range(300)",
        "SELECT range::BIGINT AS id, 'x' AS name FROM range(100)",  # both are named by id: no reference
    ],
)
def test_what_only_looks_like_one(session: duck.Session, sql: str) -> None:
    assert found(session, table(session, "persons", PEOPLE, "id"), table(session, "letters", sql, "id")) == []


def test_a_table_without_a_key_refers_to_nothing(session: duck.Session) -> None:
    sql = "SELECT 1::BIGINT AS person_id FROM range(9)"
    assert found(session, table(session, "persons", PEOPLE, "id"), table(session, "letters", sql)) == []


def test_singulars() -> None:
    names = "customers countries addresses boxes matches classes glass news bus s order-lines"
    expected = ["customer", "country", "address", "box", "match", "class", "glass", "new", "bu", "s", "order-line"]
    assert [singular(name) for name in names.split()] == expected
