"""What the front refuses, and whether each refusal teaches: the place, the reason, the way out."""

import pytest

from engine.plan import PlanError
from engine.queries.query import Query
from engine.sql.front import compile_sql
from havok.keys import KeyColumn
from havok.manifest import Column, Index, Manifest

FLIGHTS = Manifest(
    dataset="flights", version="v", created="", rows=1, files={}, source="test",
    columns=tuple(
        Column(name, kind)
        for name, kind in (
            ("origin", "VARCHAR"), ("day", "DATE"), ("flight", "INTEGER"), ("tailnum", "VARCHAR"), ("dest", "VARCHAR"),
            ("delay", "DOUBLE"), ("tags", "VARCHAR[]"),
        )
    ),
    key=(KeyColumn("origin", "string"), KeyColumn("day", "date"), KeyColumn("flight", "int")),
    indexes=(Index("by_plane", (KeyColumn("tailnum", "string"),)),),
)  # fmt: skip
AIRPORTS = Manifest(
    dataset="airports", version="v", created="", rows=1, files={}, source="test",
    columns=(Column("faa", "VARCHAR"), Column("name", "VARCHAR"), Column("origin", "VARCHAR")),
    key=(KeyColumn("faa", "string"),),
)  # fmt: skip
MANIFESTS = {"flights": FLIGHTS, "airports": AIRPORTS}


def compiled(sql: str) -> Query:
    return compile_sql(sql, MANIFESTS, {}).query


def refused(sql: str) -> str:
    with pytest.raises(PlanError) as caught:
        compiled(sql)
    return caught.value.detail


def test_the_fragment_is_underlined_in_its_line() -> None:
    assert refused("SELECT dest,\n       dely\nFROM flights WHERE origin = :o") == (
        "line 2: there is no column 'dely' in flights; did you mean delay?\n    dely\n    ^^^^"
    )


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT dest FROM flight WHERE origin = :o", "there is no dataset 'flight'; did you mean flights? Or add"),
        ("SELECT dest FROM flights WHERE delay > 60", "every row of flights would be read"),
        (
            "SELECT dest FROM flights WHERE dest = :d",
            'indexes.by_dest = ["dest"] under [datasets.flights], then: havok load flights',
        ),
        ("SELECT dest FROM flights", "begin with origin = :origin AND …"),
        ("SELECT dest FROM flights WHERE origin = 7", "a text stands in quotes: '7'"),
        ("SELECT dest FROM flights WHERE origin = :o ORDER BY tags", "VARCHAR[] values have no order"),
        ("SELECT origin FROM flights f JOIN airports a ON a.faa = dest WHERE f.origin = 'x'", "write f.origin"),
        ("SELECT count(*) FROM flights WHERE origin = 'x'", "give this column of the answer a name: … AS name"),
        ("SELECT dest, count(*) AS n FROM flights WHERE origin = 'x'", "dest is neither grouped by"),
        ("SELECT dest FROM flights WHERE origin = 'x' AND count(*) > 1", "an aggregate cannot stand here"),
        ("SELECT sum(sum(delay)) AS n FROM flights WHERE origin = 'x'", "an aggregate cannot stand inside another"),
        ("SELECT dest FROM flights WHERE origin = 'x' HAVING dest = 'y'", "use WHERE"),
        ("SELECT dest, dest FROM flights WHERE origin = 'x'", "two columns of the answer are named dest"),
        ("SELECT dest FROM flights WHERE origin = :o LIMIT delay", "LIMIT takes a whole number or a parameter"),
        (
            "SELECT coalesce(:x) AS x FROM flights WHERE origin = 'x'",
            'params.x = { type = "…" }, one of string, int, fl',
        ),
        ("SELECT coalesce(delay, :x) AS x FROM flights WHERE origin = 'x'", 'params.x = { type = "float" }'),
        ("SELECT dest || :x AS x FROM flights WHERE origin = 'x'", 'params.x = { type = "string" }'),
        ("SELECT dest FROM flights WHERE origin = 'x' AND flight = (:x)", 'params.x = { type = "int" }'),
        ("SELECT dest FROM flights WHERE origin = 'x' AND day = '2013-13-01'", "is no DATE"),
        ("SELECT dest || FROM flights", "line 1: the SQL cannot be read here"),
        ("SELECT uper(dest) AS x FROM flights WHERE origin = 'x'", "uper() is not supported; did you mean upper()?"),
        ("SELECT median(delay) AS x FROM flights WHERE origin = 'x'", "median() is not supported; an analytical"),
        ("SELECT strftime(day, '%Y') AS x FROM flights WHERE origin = 'x'", "strftime() is not supported"),
        ("SELECT frobnicate(dest) AS x FROM flights WHERE origin = 'x'", "frobnicate() is not supported"),
        ("SELECT upper(flight) AS x FROM flights WHERE origin = 'x'", "upper() does not take (INTEGER)"),
        ("SELECT dest FROM flights WHERE origin = 'x' AND delay < 1e400", "1e400 is more than a DOUBLE holds"),
        ("SELECT TIMESTAMP '2013-01-01 05:00:00+02' AS x FROM flights WHERE origin = 'x'", "a TIMESTAMP has no zone"),
        ("SELECT tags[1] AS x FROM flights WHERE origin = 'x'", "[…] is not supported: items and fields cannot be"),
        ("SELECT dest FROM flights WHERE origin = 'x' AND tags = ['a']", "nor lists compared; load what is sought"),
        ("SELECT f.tags.x AS x FROM flights f WHERE origin = 'x'", "fields of structs cannot be taken out here; load"),
        ("SELECT tags.x AS x FROM flights WHERE origin = 'x'", "tags is a column, a VARCHAR[], whose fields cannot be"),
        ("SELECT dest FROM bookings WHERE x = 1", "'bookings'; add [datasets.bookings]; known: flights, airports"),
        ("SELECT dest FROM 'x.csv' WHERE x = 1", 'make it one: [datasets.NAME] source = "…"; known: flights'),
        ("SELECT dest FROM read_csv('x.csv') WHERE x = 1", 'make it one: [datasets.NAME] source = "…"'),
        ("SELECT * FROM flights JOIN airports a ON a.faa = dest WHERE tailnum = 'x'", "write the columns out instead"),
        ("SELECT dest FROM flights WHERE origin = 'x' AND flight > :meta", "meta is taken"),
        ("SELECT dest FROM flights WHERE origin IN (:cursor)", "name it otherwise, as :cursor_value"),
        ("SELECT dest FROM flights WHERE origin = :o ORDER BY :col", "write CASE :col WHEN … THEN … END"),
        ("SELECT dest FROM flights WHERE flight > 1.5 AND delay > '3'", "a number stands without quotes"),
        ('SELECT dest FROM flights WHERE tailnum = "N1"', "a text stands in single quotes: 'N1'"),
        ("SELECT dest FROM flights WHERE tailnum = ':tailnum'", "a parameter stands without quotes"),
        ('SELECT dest FROM flights WHERE tailnum = ":t"', "a parameter stands without quotes, which make a text"),
        ("SELECT dest FROM flights WHERE tailnum LIKE '%:t%'", "write '%' || :t || '%'"),
        ("SELECT dest FROM flights WHERE tailnum = {tailnum}", "a parameter is written as :name"),
        ("SELECT dest FROM flights WHERE tailnum = ?", "a parameter needs a name: write :name"),
        ("SELECT dest FROM flights WHERE tailnum IN :tails", "the values of IN stand in brackets: IN (:tails)"),
        ("SELECT dest FROM flights WHERE tailnum IN tags", "the values of IN stand in brackets"),
        ("SELECT :x AS x FROM flights WHERE origin = 'x'", "say its type: CAST(:x AS VARCHAR) AS x"),
        ("SELECT dest FROM flights WHERE day > now() AND origin = 'x'", "make it a parameter"),
        ("SELECT dest FROM flights WHERE origin = 'x' UNION SELECT dest FROM flights", "analytical = true"),
        ("WITH a AS (SELECT 1) SELECT dest FROM flights WHERE origin = 'x'", "analytical = true"),
        ("SELECT dest FROM flights WHERE origin = (SELECT 'x')", "analytical = true"),
        ("SELECT dest FROM flights WHERE dest", "a condition must be BOOLEAN, this is VARCHAR"),
    ],
)
def test_refusals_teach(sql: str, said: str) -> None:
    assert said in refused(sql)


@pytest.mark.parametrize(
    ("sql", "underlined"),
    [
        ("SELECT dest FROM flights WHERE dest = :d LIMIT :d", ":d"),
        ("SELECT dest,\n  count(*) AS n FROM flights WHERE origin = 'x'", "dest"),
        ("SELECT max(dest) AS d, upper(dest) AS n FROM flights WHERE origin = 'x'", "dest"),
        ("SELECT count(*) AS n FROM flights WHERE origin = 'x' ORDER BY delay", "delay"),
        ("SELECT dest FROM flights WHERE origin = 'x';\n SELECT 1;", "SELECT 1;"),
        ("SELECT dest, delay AS dest FROM flights WHERE origin = 'x'", "delay AS dest"),
        ("SELECT *, dest FROM flights WHERE origin = 'x'", "dest"),
        ("SELECT dest FROM flights WHERE flight > :meta AND origin = :meta", ":meta"),
    ],
)
def test_the_place_is_underlined(sql: str, underlined: str) -> None:
    _, line, marks = refused(sql).splitlines()
    assert line[marks.index("^") : len(marks)] == underlined


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT dest FROM flights WHERE origin = 'x'; DROP TABLE flights",
        "SELECT dest FROM flights WHERE origin = 'x'; SELECT 1",
        "DROP TABLE flights",
        "COPY flights TO '/tmp/x'",
        "ATTACH '/tmp/x'",
        "PRAGMA database_list",
        "SET memory_limit = '1TB'",
        "INSTALL httpfs",
        "CALL pragma_version()",
        "EXPLAIN SELECT dest FROM flights WHERE origin = 'x'",
        "INSERT INTO flights VALUES (1)",
        "SELECT dest FROM read_csv('/etc/passwd') WHERE origin = 'x'",
        "SELECT dest FROM '/etc/passwd' WHERE origin = 'x'",
        "SELECT content FROM read_text('/etc/passwd')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM information_schema.tables WHERE origin = 'x'",
        "SELECT * FROM sqlite_master WHERE origin = 'x'",
        "SELECT dest FROM flights WHERE origin = (SELECT 'x')",
        "SELECT dest FROM flights WHERE origin IN (SELECT faa FROM airports)",
        "SELECT dest FROM (SELECT * FROM flights) WHERE origin = 'x'",
        "WITH f AS (SELECT * FROM flights) SELECT dest FROM f WHERE origin = 'x'",
        "SELECT dest FROM flights WHERE origin = 'x' UNION ALL SELECT 'y'",
        "SELECT getenv('HOME') AS x FROM flights WHERE origin = 'x'",
        "SELECT current_setting('threads') AS x FROM flights WHERE origin = 'x'",
        "SELECT row_number() OVER () AS n FROM flights WHERE origin = 'x'",
        "SELECT dest FROM flights TABLESAMPLE 10% WHERE origin = 'x'",
        "SELECT dest FROM flights WHERE origin = 'x' QUALIFY 1",
        "SELECT " + "(" * 150 + "1" + ")" * 150 + " AS x FROM flights WHERE origin = 'x'",
        "SELECT dest FROM flights WHERE origin = 'x' -- " + "x" * 20_000,
    ],
)
def test_what_is_no_plain_select_over_datasets_is_refused(sql: str) -> None:
    assert refused(sql)


@pytest.mark.parametrize(
    ("where", "order", "way"),
    [
        ("origin = :o", "", (None, 1, False, True)),
        ("origin = :o AND day = :d", "ORDER BY flight", (None, 2, False, True)),
        ("origin = :o AND day = :d", "ORDER BY flight DESC", (None, 2, True, True)),
        ("origin = :o AND day > :d", "ORDER BY day DESC", (None, 1, True, True)),
        ("origin = :o AND flight = 1", "ORDER BY day DESC, flight", (None, 1, False, False)),
        ("origin IN ('x', 'y')", "ORDER BY origin", (None, 1, False, False)),
        ("tailnum = :t", "ORDER BY origin", ("by_plane", 1, False, True)),
        ("tailnum = :t AND origin = :o AND day = :d", "", ("by_plane", 3, False, True)),
        ("origin = :o AND tailnum > :t", "", (None, 1, False, True)),
        ("tailnum > :t", "ORDER BY tailnum DESC", ("by_plane", 0, False, False)),
        ("tailnum > :t", "ORDER BY tailnum DESC NULLS FIRST", ("by_plane", 0, True, True)),
    ],
)
def test_the_way_to_the_rows(where: str, order: str, way: tuple[str | None, int, bool, bool]) -> None:
    """(index, columns fixed, backwards, no sort needed)"""
    query = compiled(f"SELECT dest FROM flights WHERE {where} {order}")
    assert (query.seek.index, len(query.seek.equals), query.seek.reverse, query.sorted) == way


def test_names_are_matched_without_regard_to_case() -> None:
    query = compiled("SELECT Dest AS \"To\" FROM Flights AS F WHERE f.ORIGIN = 'x'")
    assert [(item.name, item.value.name) for item in query.outputs] == [("To", "dest")]  # type: ignore[union-attr]
