"""load: a version that a live SQL service does not compile on is refused before it is placed, node or no node."""

import pytest

from tests.console.person import Person, get, things, until

SERVICES = """
[services.ranked]
kind = "sql"
compartment = "one"
sql = "SELECT name, v * 2 AS twice FROM things WHERE id = :id"
[services.counted]
kind = "sql"
compartment = "two"
analytical = true
sql = "SELECT count(*) AS n, sum(v) AS total FROM things WHERE name <> :name"
"""
BAD = {
    "a column is gone": ("id,name", [row[:2] for row in things(2)], "there is no column 'v'"),
    "a column is text now": (
        "id,name,v",
        [(index, name, f"v{number}") for index, name, number in things(2)],
        "* takes numbers, this is VARCHAR",
    ),
}


def _refusal(person: Person, header: str, rows: list[tuple[object, ...]]) -> str:
    """Parquet-like: the file says its own types, so that nothing is read as the live version has it."""
    person.csv("next.csv", header, rows)
    return person.refused("load", "things", "SELECT * FROM read_csv('next.csv')")


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_a_schema_that_breaks_a_live_plan_is_refused(person: Person, running: bool) -> None:
    person.config.write_text(person.config.read_text() + SERVICES)
    version = person.loaded("things")
    person.loaded("places")
    served = person.serve() if running else None
    for header, rows, reason in BAD.values():
        told = _refusal(person, header, rows)
        assert "the candidate was refused and nothing changed" in told
        assert f"service ranked: line 1: {reason}" in told
        assert "    SELECT name, v * 2 AS twice FROM things WHERE id = :id\n                 ^" in told
        assert "service counted: line 1: " in told
        assert ("columns = {" in told) == (reason != "there is no column 'v'"), "advice only where it would help"
        assert [path.name for path in (person.data_dir / "datasets" / "things").iterdir() if path.is_dir()] == [version]
    if served is not None:
        assert get(person.port, "/v1/ranked?id=7").json == {"data": [{"name": "thing 7", "twice": 2}]}
        assert served.status()["datasets"]["things"]["versions"] == [version]


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_a_column_of_another_type_can_be_read_as_before(person: Person, running: bool) -> None:
    person.config.write_text(person.config.read_text() + SERVICES)
    person.amend('source = "things.csv"', 'source = "things.csv"\ncolumns = { name = "VARCHAR" }')
    person.loaded("things")
    person.loaded("places")
    if running:
        person.serve()
    source = "SELECT id, name, v::VARCHAR AS v, 1 AS more FROM read_csv('things.csv')"
    told = person.refused("load", "things", source).splitlines()
    assert told[-1] == (
        "v is VARCHAR now and was BIGINT; if its values allow it, read it as before: "
        '[datasets.things] columns = { name = "VARCHAR", v = "BIGINT" }'
    )
    person.amend('name = "VARCHAR" }', 'name = "VARCHAR", v = "BIGINT" }')
    assert "20 rows" in person.does("load", "things", source).out


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_a_service_that_does_not_compile_keeps_no_data_from_the_others(person: Person, running: bool) -> None:
    person.loaded("things")
    person.loaded("places")
    person.config.write_text(person.config.read_text() + SERVICES.replace("v * 2", "vv * 2"))
    if running:
        served = person.serve(ready=False)
        until(served.is_healthy, "healthy")
        until(lambda: person.thing().status == 200, "the others are served")
        assert served.status()["services"]["ranked"]["state"] == "faulty"
        assert "there is no column 'vv' in things" in person.does("status").out
    person.things(2)
    person.does("load", "things")
    if running:
        assert person.thing().json["data"]["v"] == 2
