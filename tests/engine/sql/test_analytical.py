"""What an analytical SELECT may say, what it becomes, and whether each refusal teaches."""

import pytest

from engine.analysis.analytical import describe
from engine.plan import PlanError
from engine.sql.analytical import compile_analytical
from havok.keys import KeyColumn
from havok.manifest import Column, Manifest
from havok.settings import ParamSettings
from tests.engine import escapes
from tests.engine.sql.test_front import MANIFESTS

BIG = Manifest(
    dataset="big", version="v", created="", rows=1, files={}, source="test",
    columns=(Column("id", "BIGINT"), Column("g", "INTEGER"), Column("s", "VARCHAR")), key=(KeyColumn("id", "int"),),
)  # fmt: skip


def inner(sql: str, **declared: str) -> tuple[str, dict[str, str]]:
    """(the author's part of the statement, types of the parameters)"""
    params = {name: ParamSettings(type=kind) for name, kind in declared.items()}  # type: ignore[arg-type]
    found, types = compile_analytical(sql, MANIFESTS, params)
    assert found.sql == sql
    return found.text.partition("FROM (\n")[2].rpartition("\n) AS answer(")[0], types


def refused(sql: str) -> str:
    with pytest.raises(PlanError) as caught:
        compile_analytical(sql, MANIFESTS, {})
    return caught.value.detail


@pytest.mark.parametrize("sql", escapes.TEXTS)
def test_what_is_no_select_over_datasets_is_refused(sql: str) -> None:
    with pytest.raises(PlanError) as caught:
        compile_analytical(sql, {"big": BIG}, {})
    assert "Error" not in caught.value.detail


@pytest.mark.parametrize(
    "sql",
    [
        "WITH f AS (SELECT * FROM flights), g AS (SELECT dest, count(*) AS n FROM f GROUP BY ALL) SELECT * FROM g",
        "WITH flights AS (SELECT * FROM flights WHERE delay > 0) SELECT dest FROM flights",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r, airports",
        "SELECT dest FROM flights UNION ALL SELECT faa FROM airports ORDER BY 1",
        "SELECT dest FROM flights WHERE EXISTS (SELECT 1 FROM airports a WHERE a.faa = dest)",
        "SELECT dest, rank() OVER (PARTITION BY origin ORDER BY delay DESC) AS place FROM flights QUALIFY place < 3",
        "SELECT f.dest, a.name FROM flights f FULL JOIN airports a ON a.faa = f.dest AND f.delay > 3",
        "SELECT dest, d.day FROM flights f ASOF JOIN (SELECT day FROM flights) d ON f.day >= d.day",
        "SELECT unnest(tags) AS tag FROM flights",
        "SELECT dest, n FROM flights, range(3) r(n), unnest([1, 2]) u(m)",
        "SELECT list_transform(tags, lambda t: upper(t)) AS t, [x for x in tags if x > 'a'] AS u FROM flights",
        "FROM flights SELECT dest WHERE delay > 1",
        "SELECT COLUMNS('d.*') FROM flights",
        "SELECT dest FROM Flights AS F WHERE f.ORIGIN = 'x';",
        "SELECT dest FROM flights -- as it ends",
        "SELECT origin, sum(delay) AS d FROM flights GROUP BY ROLLUP (origin) HAVING count(*) > 1 ORDER BY ALL",
        "SELECT {'a': flight, 'b': tags[1:2]} AS s FROM flights TABLESAMPLE 10%",
    ],
)
def test_what_only_reads_datasets_is_allowed(sql: str) -> None:
    found, _ = compile_analytical(sql, MANIFESTS, {})
    assert found.datasets
    assert describe(found).startswith("DuckDB over the cold twins of ")


def test_the_answer_has_names_and_types() -> None:
    sql = """SELECT dest AS "To", sum(flight) AS n, avg(delay) AS a, NULL AS z, 1.5 AS d, tags, {'a': day} AS s
        FROM flights GROUP BY ALL"""
    found, _ = compile_analytical(sql, MANIFESTS, {})
    assert [(column.name, column.type) for column in found.columns] == [
        ("To", "VARCHAR"), ("n", "HUGEINT"), ("a", "DOUBLE"), ("z", "INTEGER"), ("d", "DECIMAL(2,1)"),
        ("tags", "VARCHAR[]"), ("s", "STRUCT(a DATE)"),
    ]  # fmt: skip
    assert found.datasets == ("flights",)


@pytest.mark.parametrize(
    ("where", "written", "kind"),
    [
        ("origin = :x", "origin = CAST($x AS VARCHAR)", "VARCHAR"),
        (":x < f.flight", "CAST($x AS BIGINT) < f.flight", "BIGINT"),
        ("day BETWEEN :x AND :x", "day BETWEEN CAST($x AS DATE) AND CAST($x AS DATE)", "DATE"),
        ("delay IN (1, :x)", "delay IN (1, CAST($x AS DOUBLE))", "DOUBLE"),
        ("flight NOT IN (:x)", "flight NOT IN (SELECT unnest(CAST($x AS BIGINT[])))", "BIGINT[]"),
        ("flight IN :x", "flight IN CAST($x AS BIGINT[])", "BIGINT[]"),
        ("delay > :x::DECIMAL(12, 2)", "delay > CAST($x AS DECIMAL(38,2))::DECIMAL(12, 2)", "DECIMAL(38,2)"),
        ("dest LIKE :x", "dest LIKE CAST($x AS VARCHAR)", "VARCHAR"),
        ("day > :x::DATE", "day > CAST($x AS DATE)::DATE", "DATE"),
        ("day > CAST(:x AS TIMESTAMP)", "day > CAST(CAST($x AS TIMESTAMP) AS TIMESTAMP)", "TIMESTAMP"),
        ("day > current_date - INTERVAL (:x) DAY", "current_date - INTERVAL (CAST($x AS BIGINT)) DAY", "BIGINT"),
        ("'a :x' < dest AND 'é' < dest AND dest = :x -- :y", "< dest AND 'é' < dest AND dest = CAST($x", "VARCHAR"),
        ("EXISTS (SELECT 1 FROM airports WHERE faa = :x)", "faa = CAST($x AS VARCHAR)", "VARCHAR"),
        ("tags[1:flight] = ['a'] AND dest > :x", "tags[1:flight] = ['a'] AND dest > CAST($x AS VARCHAR)", "VARCHAR"),
    ],
)  # fmt: skip
def test_parameters_are_cast_to_what_they_are_compared_with(where: str, written: str, kind: str) -> None:
    text, types = inner(f"SELECT dest FROM flights f WHERE {where}")
    assert written in text
    assert types == {"x": kind}


def test_limits_and_declared_types() -> None:
    text, types = inner("SELECT dest FROM flights WHERE coalesce(delay, :d) > 1 LIMIT :limit OFFSET :o", d="int")
    assert text.endswith(
        "coalesce(delay, CAST($d AS BIGINT)) > 1 LIMIT CAST($limit AS BIGINT) OFFSET CAST($o AS BIGINT)"
    )
    assert types == {"d": "BIGINT", "limit": "BIGINT", "o": "BIGINT"}
    text, types = inner("SELECT dest FROM flights WHERE flight IN (:l) AND tags = :m", l="list<int>", m="list<string>")
    assert "IN (SELECT unnest(CAST($l AS BIGINT[]))) AND tags = CAST($m AS VARCHAR[])" in text
    assert types == {"l": "BIGINT[]", "m": "VARCHAR[]"}


def test_the_fragment_is_underlined_in_its_line() -> None:
    assert refused("SELECT dest,\n       upper(dely) AS x\nFROM flights") == (
        "line 2: there is no column 'dely'; did you mean delay?\n    upper(dely) AS x\n          ^^^^"
    )
    assert refused("SELECT dest\nFROM flights WHERE dest = :d AND dest = :d AND dely > 1") == (
        "line 2: there is no column 'dely'; did you mean delay?\n"
        "    FROM flights WHERE dest = :d AND dest = :d AND dely > 1\n"
        "                                                   ^^^^"
    )
    assert refused("SELECT 'é' AS x,\n  getenv('é') AS y FROM flights").endswith(
        "    getenv('é') AS y FROM flights\n    ^^^^^^^^^^^"
    )


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT dest FROM flight", "line 1: there is no dataset 'flight'; did you mean flights?"),
        ("SELECT dest FROM main.flights", "a dataset has no schema before its name"),
        ("SELECT 1 AS x", "there is no FROM"),
        ("SELECT count(*) FROM flights", "give this column of the answer a name: … AS name"),
        ("SELECT dest, dest FROM flights", "two columns of the answer are named dest"),
        ("SELECT f.*, a.* FROM flights f, airports a", "two columns of the answer are named origin; write the columns"),
        (
            "SELECT dest, delay AS dest FROM flights",
            "give one another name: … AS dest_2\n    SELECT dest, delay AS dest",
        ),
        ("SELECT dest FROM flights;\nSELECT 2", "line 2: the SQL must be one SELECT statement; this is a second one"),
        ("SELECT dest FROM bookings", "'bookings'; add [datasets.bookings]; known: flights, airports"),
        ("SELECT dest FROM flights WHERE day > 3", "cannot compare values of type DATE and type INTEGER"),
        ("SELECT f.dest FROM flights WHERE f.dest = 'x'", "there is no table 'f'"),
        ("SELECT dest FROM flights WHERE dest = ':d'", "a parameter stands without quotes, which make a text of it"),
        ("SELECT upper(day, 1) AS x FROM flights", "no function matches"),
        ("SELECT dest, count(*) AS n FROM flights", "must appear in the GROUP BY clause"),
        ("SELECT dest FROM flights WHERE", "the SQL cannot be read"),
        ("SELECT dest FROM flights WHERE x(", "the SQL cannot be read"),
        ("SELECT 'dest FROM flights", "the SQL cannot be read"),
        ("SELECT uper(dest) AS x FROM flights", "uper() is not supported; did you mean upper()?"),
        ("SELECT dest.upper() AS x FROM flights", "write upper(…) with all its arguments"),
        ("SELECT * FROM read_csv('x')", "only datasets can be read, by their name"),
        ("SELECT dest || :x AS y FROM flights", 'the type of :x is not clear; say it: params.x = { type = "string" }'),
        ("WITH f AS (FROM flights) SELECT dest FROM f WHERE day = :d", "the type of :d is not clear"),
        ("SELECT dest FROM flights WHERE day > today() - INTERVAL :n DAY", "put it in brackets: (:name)"),
        ("SELECT dest FROM flights WHERE dest = $x", "a parameter is written as :name"),
        ("SELECT dest FROM flights WHERE dest = ?", "a parameter is written as :name"),
        ("SELECT dest FROM flights WHERE dest = :x AND dest IN (:x)", ":x is a list in one place"),
        ("SELECT " + "(" * 2000 + "1" + ")" * 2000 + " AS x FROM flights", "nested too deeply"),
        ("SELECT " + "NOT " * 4000 + "true AS x FROM flights", "nested too deeply"),
        ("SELECT dest FROM flights -- " + "x" * 20_000, "longer than 20000 characters"),
    ],
)
def test_refusals_teach(sql: str, said: str) -> None:
    assert said in refused(sql)
