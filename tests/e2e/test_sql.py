"""SQL services as a new user meets them: the shipped ones over HTTP, one of their own, and what teaches them.

One node with the shipped example serves all of these tests; what a test adds to the
configuration it takes away again.
"""

import csv
import io
import json
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import msgspec
import pyarrow as pa
import pytest

from tests.console.person import ROOT, Answer, Person, Served, get, until
from tests.e2e.example import take_the_example

SERVICES = ("departures", "plane_history", "route_delays", "busiest_routes")
FIRST_DAY = {"origin": "EWR", "year": 2013, "month": 1, "day": 1}
FLIGHTS = "examples/flights/flights.parquet"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def airline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Served]]:
    with Person(tmp_path_factory.mktemp("airline")) as person:
        take_the_example(person)
        served = person.serve(ready=False)
        until(lambda: served.words().count("curl '") == 7, "a line to try for each service", 60)
        yield person, served


@contextmanager
def added(airline: tuple[Person, Served], service: str) -> Iterator[Person]:
    """With `[services.late]` besides; the node is not told."""
    person, _ = airline
    before = person.config.read_text()
    person.config.write_text(f'{before}\n[services.late]\nkind = "sql"\ncompartment = "travel-low"\n{service}\n')
    try:
        yield person
    finally:
        person.config.write_text(before)


def asked(person: Person, service: str, accept: str = "application/json", **params: object) -> Answer:
    found = get(person.port, f"/v1/{service}?{urlencode(params)}", {"Accept": accept})
    assert found.status == 200, found.body
    return found


def posted(person: Person, service: str, body: object) -> Any:
    connection = HTTPConnection("127.0.0.1", person.port, timeout=10)
    try:
        connection.request("POST", f"/v1/{service}", json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def oracle(person: Person, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql.replace("flights", f"'{person.directory}/{FLIGHTS}'")).fetchall()


def rows(answer: Answer) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in answer.json["data"]]


# -- what is shipped ---------------------------------------------------------------------


def test_the_shipped_services_say_what_duckdb_says(airline: tuple[Person, Served]) -> None:
    person, _ = airline
    found = rows(asked(person, "departures", **FIRST_DAY, limit=500))
    assert sorted(found) == sorted(
        oracle(
            person,
            "SELECT carrier, flight, dest, sched_dep_time, dep_delay FROM flights "
            "WHERE origin = 'EWR' AND year = 2013 AND month = 1 AND day = 1",
        )
    )
    assert [row[3] for row in found] == sorted((row[3] for row in found), reverse=True)
    plane = asked(person, "plane_history", tailnum="N10156", limit=1000).json["data"]
    assert [(row["month"], row["day"]) for row in plane] == oracle(
        person, "SELECT month, day FROM flights WHERE tailnum = 'N10156' ORDER BY year DESC, month DESC, day DESC"
    )
    assert {row["dest"]: row["dest_name"] for row in plane}["MKE"] == "General Mitchell Intl"
    delays = rows(asked(person, "route_delays", origin="EWR", year=2013, month=1))
    assert delays == oracle(
        person,
        "SELECT carrier, count(*), avg(dep_delay), max(dep_delay) FROM flights "
        "WHERE origin = 'EWR' AND year = 2013 AND month = 1 GROUP BY carrier ORDER BY carrier",
    )
    routes = rows(asked(person, "busiest_routes", month=1, limit=7))
    assert [row[:3] for row in routes] == oracle(
        person,
        "SELECT origin, dest, count(*) AS n FROM flights WHERE month = 1 GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 7",
    )


@pytest.mark.parametrize("service", SERVICES)
def test_each_in_every_form(airline: tuple[Person, Served], service: str) -> None:
    person, _ = airline
    params = {
        "departures": FIRST_DAY,
        "plane_history": {"tailnum": "N10156"},
        "route_delays": {"origin": "EWR", "year": 2013, "month": 1},
        "busiest_routes": {"month": 1},
    }[service]
    plain = asked(person, service, **params)
    data, told = plain.json["data"], asked(person, service, **params, meta=1).json
    assert plain.headers["havok-version"].startswith("flights@")
    assert plain.headers["content-type"] == "application/json"
    assert told["data"] == data
    assert [column["name"] for column in told["meta"]["columns"]] == list(data[0])
    assert msgspec.msgpack.decode(asked(person, service, "application/msgpack", **params).body)["data"] == data
    table = pa.ipc.open_stream(asked(person, service, ARROW, **params).body).read_all()
    assert table.to_pylist() == data
    lines = list(csv.DictReader(io.StringIO(asked(person, service, "text/csv", **params).body.decode())))
    assert [list(line) for line in lines] == [list(row) for row in data]
    assert lines[0] == {name: "" if value is None else str(value) for name, value in data[0].items()}
    assert posted(person, service, params)["data"] == data


def test_paging_goes_on_after_a_reload_of_the_table(airline: tuple[Person, Served]) -> None:
    person, _ = airline
    whole = rows(asked(person, "departures", **FIRST_DAY, limit=500))
    answer = asked(person, "departures", **FIRST_DAY, limit=50)
    first, found = answer.headers["havok-version"], rows(answer)
    person.does("load", "flights")
    while cursor := answer.json.get("next"):
        answer = asked(person, "departures", **FIRST_DAY, limit=50, cursor=cursor)
        assert answer.headers["havok-version"] != first
        found += rows(answer)
    assert found == whole
    for accept in ("text/csv", ARROW):
        page = asked(person, "departures", accept, **FIRST_DAY, limit=50)
        again = asked(person, "departures", **FIRST_DAY, limit=50, cursor=page.headers["havok-next"])
        assert rows(again) == whole[50:100]


def test_what_the_shipped_services_refuse(airline: tuple[Person, Served]) -> None:
    person, _ = airline
    for target, param, rule, said in (
        ("departures?year=2013&month=1&day=1", "origin", "required", "origin is required: a string"),
        ("departures?origin=ewr&year=2013&month=1&day=1", "origin", "pattern", "must match ^[A-Z]{3}$"),
        ("departures?origin=EWR&year=2013&month=1&day=1&limit=501", "limit", "max", "limit must be at most 500"),
        ("departures?origin=EWR&year=2013&month=1&day=1&limit=a", "limit", "type", "must be an integer"),
        ("departures?origin=EWR&year=2013&month=1&day=1&dya=1", "dya", "unknown", "known: origin, year, month, day"),
        ("departures?origin=EWR&year=2013&month=1&day=1&cursor=x", "cursor", "cursor", "the next of an earlier"),
        ("busiest_routes?month=13", "month", "max", "month must be at most 12"),
        ("busiest_routes?month=1&cursor=x", "cursor", "unknown", "an analytical service has no cursors"),
    ):
        answer = get(person.port, f"/v1/{target}")
        assert answer.status == 400, target
        found = answer.json
        assert (found["code"], found["param"], found["rule"]) == ("bad_param", param, rule), target
        assert said in found["detail"]


# -- one of one's own --------------------------------------------------------------------

LATE = """sql = '''
SELECT year, month, day, carrier, flight, dest, dep_delay FROM flights
WHERE tailnum = :tailnum AND dep_delay > 60
ORDER BY dep_delay DESC LIMIT :limit
'''
params = { tailnum = { pattern = "^N" }, limit = { type = "int", default = 20, min = 1, max = 100 } }"""


def test_which_flights_of_this_plane_were_more_than_an_hour_late(airline: tuple[Person, Served]) -> None:
    _, served = airline
    with added(airline, LATE) as person:
        assert person.does("check").out == "8 services, 3 datasets: all good\n"
        assert "range of flights by index by_plane (tailnum)" in person.does("plan", "late").out
        served.send(signal.SIGHUP)
        until(lambda: get(person.port, "/v1/late?tailnum=N10156").status == 200, "it is served")
        found = asked(person, "late", tailnum="N10156").json["data"]
        assert [row["dep_delay"] for row in found] == [
            row[0]
            for row in oracle(
                person,
                "SELECT dep_delay FROM flights WHERE tailnum = 'N10156' AND dep_delay > 60 ORDER BY 1 DESC LIMIT 20",
            )
        ]
        wrong = get(person.port, "/v1/late?tailnum=10156").json
        assert wrong["detail"] == "parameter tailnum must match ^N"
        wrong = get(person.port, "/v1/late?tailnum=N10156&limit=many").json
        assert (wrong["param"], wrong["rule"]) == ("limit", "type")
        assert wrong["detail"] == "parameter limit must be an integer of 64 bits, not 'many'"
    served.send(signal.SIGHUP)
    until(lambda: get(person.port, "/v1/late?tailnum=N10156").status == 404, "it is gone")


BY_PLANE = 'indexes.by_plane = ["tailnum", "year", "month", "day"]'
REFUSED = {
    "an index that is not there": (
        "SELECT flight FROM flights WHERE dest = :dest AND dep_delay > 60 ORDER BY dep_delay DESC LIMIT 20",
        "every row of flights would be read: WHERE fixes neither the beginning of its key (origin, year, month, day, "
        "carrier, flight, sched_dep_time) nor of an index (by_plane: tailnum, year, month, day); "
        'an index would help: indexes.by_dest_dep_delay = ["dest", "dep_delay"] under [datasets.flights], then: '
        "havok load flights. "
        "Or, to read whole columns in a process aside: analytical = true",
    ),
    "a misspelt column": (
        "SELECT flihgt FROM flights WHERE tailnum = :tailnum",
        "line 1: there is no column 'flihgt' in flights; did you mean flight?\n"
        "    SELECT flihgt FROM flights WHERE tailnum = :tailnum\n"
        "           ^^^^^^",
    ),
    "a misspelt dataset": (
        "SELECT flight FROM flight WHERE tailnum = :tailnum",
        "line 1: there is no dataset 'flight'; did you mean flights? Or add [datasets.flight]; known: flights, "
        "airports, planes\n"
        "    SELECT flight FROM flight WHERE tailnum = :tailnum\n"
        "                       ^^^^^^",
    ),
    "a parameter in quotes": (
        "SELECT flight FROM flights WHERE tailnum = ':tailnum'",
        "line 1: a parameter stands without quotes, which make a text of it: write :tailnum\n"
        "    SELECT flight FROM flights WHERE tailnum = ':tailnum'\n"
        "                                               ^^^^^^^^^^",
    ),
    "a number in quotes": (
        "SELECT flight FROM flights WHERE tailnum = :tailnum AND month = '3'",
        "line 1: '3' is a text, and is compared with BIGINT: a number stands without quotes\n"
        "    SELECT flight FROM flights WHERE tailnum = :tailnum AND month = '3'\n"
        "                                                            ^^^^^^^^^^^",
    ),
    "a cross join": (
        "SELECT flight FROM flights CROSS JOIN airports a WHERE tailnum = :tailnum",
        "line 1: every row of airports would be read for each row before it; join it by its key (faa): "
        "JOIN airports … ON a.faa = …\n"
        "    SELECT flight FROM flights CROSS JOIN airports a WHERE tailnum = :tailnum\n"
        "                                          ^^^^^^^^^^",
    ),
    "a parameter that is a word of SQL": (
        "SELECT flight FROM flights WHERE tailnum = :tailnum AND time_hour > :from",
        "line 1: from is a word of SQL, which no parameter can be named here; take another, as :from_value\n"
        "    SELECT flight FROM flights WHERE tailnum = :tailnum AND time_hour > :from\n"
        "                                                                        ^^^^^",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_teaches(airline: tuple[Person, Served], what: str) -> None:
    sql, reason = REFUSED[what]
    with added(airline, f'sql = "{sql}"') as person:
        assert person.refused("check") == f"error: havok.toml: services.late.sql: {reason}\n"
        assert person.refused("plan", "late") == f"error: service late: {reason}\n"


def test_the_index_that_was_advised_does_it(airline: tuple[Person, Served]) -> None:
    _, served = airline
    sql, reason = REFUSED["an index that is not there"]
    advised = reason[reason.index("indexes.") : reason.index(" under ")]
    with added(airline, f'sql = "{sql}"') as person:
        person.amend(BY_PLANE, f"{BY_PLANE}\n{advised}")
        assert "build it: havok load flights" in person.refused("check")
        person.does("load", "flights")
        assert person.does("check").out == "8 services, 3 datasets: all good\n"
        plan = person.does("plan", "late").out
        assert "range of flights by index by_dest_dep_delay (dest), dep_delay bounded" in plan
        assert "cheaper" not in plan
        served.send(signal.SIGHUP)
        until(lambda: get(person.port, "/v1/late?dest=LAX").status == 200, "it is served")


def test_columns_without_an_order(person: Person) -> None:
    """Lists, structs and JSON are answered, not sorted by."""
    lines = [{"id": 1, "tags": ["a", "b"], "more": {"x": 1}}, {"id": 2, "tags": ["c"], "more": {"y": 2}}]
    (person.directory / "things.jsonl").write_text("\n".join(map(json.dumps, lines)))
    person.amend("min_rows = 5\n", "")
    person.amend('not_null = ["name"]\n', "")
    person.amend('source = "things.csv"', 'source = "things.jsonl"')
    person.loaded("things")
    service = '[services.tagged]\nkind = "sql"\ncompartment = "one"\nsql = "SELECT id, tags, more FROM things %s"\n'
    sound = person.config.read_text() + service % "WHERE id > :id"
    person.config.write_text(person.config.read_text() + service % "WHERE id > :id ORDER BY tags")
    told = person.refused("check")
    assert "JSON values have no order; order by a column that has one" in told
    person.config.write_text(sound)
    served = person.serve(ready=False)
    until(served.is_healthy, "healthy")
    until(lambda: get(person.port, "/v1/tagged?id=0").status == 200, "it is served")
    assert get(person.port, "/v1/tagged?id=0").json["data"] == lines


# -- what is written ---------------------------------------------------------------------


def test_every_request_in_the_readme_is_answered(airline: tuple[Person, Served]) -> None:
    person, _ = airline
    lines = re.findall(r"(?m)^curl .*", (ROOT / "README.md").read_text())
    assert len(lines) == 8
    for line in lines:
        _, url, *options = shlex.split(line)
        given = dict(zip(options[::2], options[1::2], strict=True))
        headers = dict([given["-H"].split(": ")]) if "-H" in given else {}
        target = urlsplit(url)
        connection = HTTPConnection("127.0.0.1", person.port, timeout=10)
        connection.request(
            "POST" if "-d" in given else "GET", f"{target.path}?{target.query}", given.get("-d"), headers
        )
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True), line
        connection.close()


def test_every_statement_in_the_manual_compiles(airline: tuple[Person, Served]) -> None:
    statements = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text(), re.DOTALL)
    assert len(statements) == 4
    services = "\n".join(
        f'[services.s{number}]\nkind = "sql"\ncompartment = "travel-low"\nsql = """{sql}"""'
        for number, sql in enumerate(statements)
    )
    for file in ("docs/sql.md", "README.md"):
        (own,) = re.findall(r"(?s)```toml\n\[services.late\].*?\n(sql = .*?)```", (ROOT / file).read_text())
        with added(airline, f"{own}\n{services}") as person:
            assert person.does("check").out == "12 services, 3 datasets: all good\n"
