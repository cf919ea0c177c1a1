"""The server when rows are damaged, code fails or too much is asked, and that it keeps nothing of it."""

import gc
import logging
import tracemalloc
from pathlib import Path

import lmdb
import pytest

from engine.http.route import Route, Unready
from havok.errors import NoVersion
from havok.keys import bounded, encode
from havok.manifest import ROWS_FILE
from havok.rows import seal
from tests.engine.making import route_of, write_version
from tests.engine.wire import Client, Wire, get, parse_answers, post

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


def test_a_damaged_row_is_never_served(wire: Wire, tmp_path: Path) -> None:
    key, value = seal(encode(("string",), ("BAD",)), b'{"k":"BAD"}')
    told: list[str] = []
    good = seal(encode(("string",), ("OK",)), b'{"k":"OK"}')
    spoil = dict([(key, value.replace(b"BAD", b"BAE")), good])
    path = write_version(tmp_path / "v", [("k", "string")], [], spoil=spoil)
    wire.deploy(row=route_of(path, lambda _, reason: told.append(reason)))
    client = wire.client()
    bad = [
        get("/v1/row?k=BAD"),
        get("/v1/row?k=B%41D"),
        post("/v1/row", b'{"k":"BAD"}'),
        post("/v1/row", b'{"keys":["OK","BAD"]}'),
    ]
    bad.append(get("/v1/row?k=BAD", "Accept: application/msgpack"))
    for request in [*bad, *bad]:
        told.clear()
        assert client.ask(get("/v1/row?k=OK")).status == 200  # which opens the fast way
        answer = client.ask(request)
        assert (answer.status, answer.code) == (503, "store_down")
        assert b"BAE" not in answer.body
        assert told
    assert client.ask(get("/v1/row?k=BAD", method="HEAD"), "HEAD").status == 503


@pytest.mark.parametrize("key", ["BAD", "B" * 600], ids=["key", "hashed key"])
def test_a_row_whose_key_is_damaged_is_not_said_to_be_absent(wire: Wire, tmp_path: Path, key: str) -> None:
    """FAULTS 10: a 404 for a row that is there is a wrong byte too."""
    told: list[str] = []
    path = write_version(tmp_path / "v", [("k", "string")], [((code,), {"k": code}) for code in ("A", key, "Z")])
    wire.deploy(row=route_of(path, lambda _, reason: told.append(reason)))
    client = wire.client()
    assert client.ask(get(f"/v1/row?k={key}")).status == 200
    content, stored = (path / ROWS_FILE).read_bytes(), bounded(encode(("string",), (key,)))
    with (path / ROWS_FILE).open("r+b") as file:
        file.seek(content.index(stored) + 1)
        file.write(bytes([stored[1] ^ 8]))
    asked = [get(f"/v1/row?k={key}"), get(f"/v1/row?k=%42{key[1:]}"), post("/v1/row", b'{"k":"%b"}' % key.encode())]
    for request in [*asked, post("/v1/row", b'{"keys":["A","%b"]}' % key.encode())]:
        told.clear()
        assert client.ask(get("/v1/row?k=A")).status == 200  # which opens the fast way
        answer = client.ask(request)
        assert (answer.status, answer.code) == (503, "store_down")
        assert told
    assert client.ask(get("/v1/row?k=ZZ")).status == 404, "whose neighbours are whole"


def test_an_error_of_lmdb_is_a_store_that_is_down(
    wire: Wire, airports_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages spoiled after opening may make LMDB itself refuse."""
    told: list[str] = []
    route = route_of(airports_dir, lambda _, reason: told.append(reason))

    def spoiled(*_: object) -> bytes:
        raise lmdb.CorruptedError("mdb_get: MDB_CORRUPTED: Located page was wrong type")

    for function in (route.program.point, route.program.query):
        monkeypatch.setitem(function.__globals__, "get", spoiled)
    wire.deploy(airport=route)
    for request in (JFK, JFK, get("/v1/airport?faa=%4A"), post("/v1/airport", b'{"keys":["JFK"]}')):
        told.clear()
        answer = wire.client().ask(request)
        assert (answer.status, answer.code, len(told)) == (503, "store_down", 1)
        assert "MDB" not in str(answer.json())


def test_our_own_mistakes_are_logged_and_not_shown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    route = client.wire.server.table[b"/v1/airport"]
    assert isinstance(route, Route)

    def broken(_: bytes) -> bytes:
        raise ZeroDivisionError("secret")

    route.query = broken
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            answer = client.ask(JFK)
            assert (answer.status, answer.code) == (500, "internal")
            assert "secret" not in str(answer.json())
    assert "ZeroDivisionError: secret" in caplog.text
    assert client.wire.server.problems.counts["internal"] == 2


def test_over_the_rate(wire: Wire, airports_dir: Path) -> None:
    wire.deploy(airport=route_of(airports_dir, rate_limit={"rps": 0.01, "burst": 3}))
    requests = [JFK, JFK, post("/v1/airport", b'{"faa":"JFK"}'), JFK, get("/v1/airport?faa=%4A"), JFK]
    client = wire.client()
    answers = [client.ask(request) for request in requests]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert answers[3].code == "rate_limited"
    assert 100 >= int(answers[3].headers["retry-after"]) >= 95
    assert answers[3].headers["havok-version"]
    assert not answers[3].closes


def test_a_limit_knows_the_time_in_a_server_that_was_idle(wire: Wire, airports_dir: Path) -> None:
    """A connection that comes with its first request is served outside of a tick."""
    route = route_of(airports_dir, rate_limit={"rps": 0.01, "burst": 1})
    wire.deploy(airport=route)
    wire.server.reactor.now_ns -= 3600 * SECOND
    assert [answer.status for answer in parse_answers(wire.client(JFK).pump())] == [200]
    assert route.limit is not None
    assert not route.limit.admit(wire.server.reactor.now_ns), "an hour ago it would have been admitted"


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/v1/airport?faa=%58"),
        get("/v1/airport?faa=XXX", "Accept: application/msgpack"),
        get("/v1/dormant"),
        get("/v1/airport?fab=1"),
        get("/nothing"),
        JFK,
        post("/v1/airport", b'{"keys":["JFK"]}'),
    ],
)
def test_answering_for_ever_keeps_nothing(airports: Wire, request_bytes: bytes) -> None:
    """An exception raised again and again keeps every frame it ever passed."""
    airports.deploy(dormant=Unready("dormant", NoVersion("load it first")))
    client = airports.client()
    connection = client.connection

    def many() -> None:
        for _ in range(300):
            client.socket.send(request_bytes)
            connection.on_readable() if connection.phase != 2 else connection.on_body_readable()
            assert client.socket.recv(65536)

    many()
    gc.collect()
    gc.disable()  # what only a collection would free counts as kept: a cycle through a frame
    tracemalloc.start()
    many()
    before = tracemalloc.get_traced_memory()[0]
    many()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    gc.enable()
    assert grown < 300 * 30
