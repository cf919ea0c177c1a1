"""The server: from whole requests to whole answers."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.http.route import Route, Unready
from engine.snapshot import open_snapshot
from havok.errors import NoVersion
from havok.keys import encode
from havok.rows import seal
from tests.engine.making import DATE, VERSION, program_of, write_version
from tests.engine.wire import Answer, Client, Wire, get, post

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


def problem(answer: Answer) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


@pytest.mark.parametrize(
    ("target", "code", "param", "rule"),
    [
        ("/v1/airport", "bad_param", "faa", "required"),
        ("/v1/airport?", "bad_param", "faa", "required"),
        ("/v1/airport?fab=JFK", "bad_param", "fab", "unknown"),
        ("/v1/airport?faa=JFK&x=1", "bad_param", "x", "unknown"),
        ("/v1/airport?faa=JFK&faa=LGA", "bad_param", "faa", "repeated"),
        ("/v1/airport?faa=%FF", "bad_param", "faa", "encoding"),
        ("/v1/airport?" + "&".join(f"p{number}=" for number in range(65)), "bad_param", "", "count"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_rule(
    client: Client, target: str, code: str, param: str, rule: str
) -> None:
    for _ in range(2):
        answer = client.ask(get(target))
        assert (answer.status, answer.code) == (400, code)
        told = problem(answer)
        assert (told["param"], told["rule"]) == (param, rule)
        assert answer.headers["havok-version"] == f"airports@{VERSION}"
        assert not answer.closes


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("faa=JFK", "JFK"),
        ("faa=a+b", "a b"),
        ("faa=a%20b", "a b"),
        ("faa=%c3%A4", "ä"),
        ("faa=x%26y%3Dz", "x&y=z"),
        ("faa=%2541", "%41"),
        ("faa=%2B", "+"),
        ("faa=", ""),
        ("faa", ""),
        ("&faa=JFK&", "JFK"),
        ("%66aa=JFK", "JFK"),
    ],
)
def test_queries(client: Client, query: str, found: str) -> None:
    answer = client.ask(get(f"/v1/airport?{query}"))
    assert answer.data == client.ask(post("/v1/airport", msgspec.json.encode({"faa": found}))).data


@pytest.mark.parametrize(
    ("body", "status", "param", "rule"),
    [
        (b'{"faa":"JFK"}', 200, None, None),
        (b' {"faa" : "\\u004aFK"} ', 200, None, None),
        (b'{"keys":["JFK"]}', 200, None, None),
        (b'{"keys":[]}', 200, None, None),
        (b'{"faa":"XXX"}', 404, None, None),
        (b"", 400, None, None),
        (b"{", 400, None, None),
        (b"[]", 400, None, None),
        (b'"JFK"', 400, None, None),
        (b"null", 400, None, None),
        (b'{"faa":"JFK"}x', 400, None, None),
        (b'{"faa":"\xff"}', 400, None, None),
        (b'{"faa":"\\ud800"}', 400, None, None),
        (b'{"keys":["\xff"]}', 400, None, None),
        (b'{"faa":NaN}', 400, None, None),
        (b'{"faa":' + b"1" * 5000 + b"}", 400, None, None),
        (b'{"faa":' + b"[" * 200_000, 400, None, None),
        (b'{"keys":' + b"[" * 200_000, 400, None, None),
        (b"[" * 500_000, 400, None, None),
        (b"{}", 400, "faa", "required"),
        (b'{"faa":null}', 400, "faa", "required"),
        (b'{"faa":1}', 400, "faa", "type"),
        (b'{"faa":["JFK"]}', 400, "faa", "type"),
        (b'{"faa":"JFK","x":1}', 400, "x", "unknown"),
        (b'{"keys":["JFK"],"x":1}', 400, "x", "unknown"),
        (b'{"keys":"JFK"}', 400, "keys", "type"),
        (b'{"keys":null}', 400, "keys", "type"),
        (b'{"keys":{"faa":"JFK"}}', 400, "keys", "type"),
        (b'{"keys":["JFK",1]}', 400, "keys[1].faa", "type"),
        (b'{"keys":[["JFK"]]}', 400, "keys[0].faa", "type"),
        (b'{"keys":[' + b'"JFK",' * 1000 + b'"JFK"]}', 400, "keys", "max_items"),
    ],
)
def test_bodies(client: Client, body: bytes, status: int, param: str | None, rule: str | None) -> None:
    answer = client.ask(post("/v1/airport", body))
    assert answer.status == status, answer
    if status == 400:
        told = problem(answer)
        assert told["code"] == ("bad_param" if param else "bad_request")
        assert (told.get("param"), told.get("rule")) == (param, rule)
    assert not answer.closes
    assert len(answer.body) < 2000


def test_a_batch_keeps_order_and_marks_what_is_missing(client: Client) -> None:
    answer = client.ask(post("/v1/airport", b'{"keys":["LGA","XXX","JFK","LGA"]}'))
    rows = answer.data
    assert isinstance(rows, list)
    assert [row and row["faa"] for row in rows] == ["LGA", None, "JFK", "LGA"]


PACKED = msgspec.msgpack.encode


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PACKED({"faa": "JFK"}), 200),
        (PACKED({"keys": ["JFK", "XXX"]}), 200),
        (PACKED({"faa": 1}), 400),
        (PACKED({"faa": b"JFK"}), 404),  # binary is base64, as in JSON
        (PACKED({1: "JFK"}), 400),
        (PACKED(["JFK"]), 400),
        (PACKED({"faa": msgspec.msgpack.Ext(5, b"x")}), 400),
        (b"\x81\x92\x01\x02\x03", 400),  # a map whose key is an array
        (b"\x81\x80\x03", 400),
        (b"\x81\xa3faa\xa2\xc3\x28", 400),  # no UTF-8
        (b"\x81\xa3faa", 400),
        (b"", 400),
        (b"\xc1", 400),
        (b"\x91" * 200_000, 400),
        (b"\x81\xa3faa\xd7\xff" + b"\xff" * 8, 400),  # a timestamp after the end of time
        (b"\x81\xa3faa\xcb\x7f\xf8" + b"\0" * 6, 400),  # NaN
    ],
)
def test_bodies_of_messagepack(client: Client, body: bytes, status: int) -> None:
    answer = client.ask(post("/v1/airport", body, content_type="application/msgpack"))
    assert answer.status == status, answer
    assert not answer.closes


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/x-www-form-urlencoded", 200),  # what curl -d says
        ("application/vnd.api+json", 200),
        ("text/xml", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_media_types_of_a_body(airports: Wire, kind: str, status: int) -> None:
    answer = airports.client().ask(post("/v1/airport", b'{"faa":"JFK"}', content_type=kind))
    assert answer.status == status
    assert answer.closes == (status == 415), "the body was not read"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_other_methods(airports: Wire, method: str, body: bytes) -> None:
    framing = [f"Content-Length: {len(body)}"] if body else []
    answer = airports.client().ask(get("/v1/airport?faa=JFK", *framing, method=method) + body)
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD, POST")


def test_what_is_not_here(airports: Wire) -> None:
    airports.deploy(dormant=Unready("dormant", NoVersion("load it first", retry_after_s=5)))
    client = airports.client()
    for target in (
        "/",
        "/v1/",
        "/v1/nothing",
        "/v1/airport/",
        "/V1/airport",
        "/v1/airport%20",
        "/healthz/",
        "//v1/airport",
    ):
        answer = client.ask(get(f"{target}?faa=JFK"))
        assert (answer.status, answer.code) == (404, "no_service")
        assert "havok-version" not in answer.headers
    for method in ("GET", "POST", "GET"):
        answer = client.ask(get("/v1/dormant?x=1", method=method))
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "no_version", "5")
    assert client.ask(get("/v1/dormant", method="DELETE")).status == 405
    airports.deploy(dormant=None)
    assert client.ask(get("/v1/dormant?x=1")).status == 404


def test_health(airports: Wire) -> None:
    client = airports.client()
    for _ in range(2):
        answer = client.ask(get("/healthz"))
        assert (answer.status, answer.json()) == (200, {"status": "ok"})
    airports.server.drain()
    answer = client.ask(get("/healthz"))
    assert (answer.status, answer.code, answer.closes) == (503, "draining", True)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/msgpack", "application/msgpack"),
        ("application/x-msgpack;q=0.9, application/json;q=0.1", "application/msgpack"),
        ("text/html, */*;q=0.1", "application/json"),
        ("text/html", None),
        ("application/json;q=0", None),
    ],
)
def test_content_negotiation(client: Client, accept: str, kind: str | None) -> None:
    for request in (
        get("/v1/airport?faa=JFK", f"Accept: {accept}"),
        post("/v1/airport", b'{"keys":["JFK","XXX"]}', f"Accept: {accept}"),
        get("/v1/airport?faa=JFK", f"Accept: {accept}"),
    ):
        answer = client.ask(request)
        if kind is None:
            assert (answer.status, answer.code, answer.closes) == (406, "not_acceptable", False)
        else:
            assert (answer.status, answer.headers["content-type"]) == (200, kind)
    miss = client.ask(get("/v1/airport?faa=XXX", f"Accept: {accept}"))
    assert (miss.status, miss.code) == ((404, "not_found") if kind else (406, "not_acceptable"))


ROWS: list[dict[str, Any]] = [
    {"d": "12345678901234567890.50", "x": b"\x00\xff", "f": 0.1, "l": [1, None], "n": None},
    {"d": "-0.10", "x": b"", "f": -1e300, "l": [], "n": "ä\x00"},
]


@pytest.fixture
def typed(wire: Wire, tmp_path: Path) -> Wire:
    """Every type that JSON and MessagePack tell differently."""
    spoil = {}
    for number, row in enumerate(ROWS):
        told = {name: msgspec.json.encode(row[name]) for name in "xfln"}
        parts = [b'"%b":%b' % (name.encode(), told.get(name) or str(row[name]).encode()) for name in "dxfln"]
        body = b'{"k":%d,%b}' % (number, b",".join(parts))
        key, value = seal(encode(("int",), (number,)), body)
        spoil[key] = value
    columns = [("d", "DECIMAL(38,2)"), ("x", "BLOB"), ("f", "DOUBLE"), ("l", "BIGINT[]"), ("n", "VARCHAR")]
    directory = write_version(tmp_path / "v", [("k", "int")], [], columns=columns, spoil=spoil)
    snapshot = open_snapshot(directory)
    snapshot.acquire()
    wire.deploy(whole=Route(program_of(snapshot), DATE), some=Route(program_of(snapshot, fields=["x", "d"]), DATE))
    return wire


def test_messagepack_equals_json(typed: Wire) -> None:
    client = typed.client()
    for service, names in (("whole", ["k", "d", "x", "f", "l", "n"]), ("some", ["x", "d"])):
        whole = [{"k": number, **row} for number, row in enumerate(ROWS)]
        wanted: list[object] = [{name: row[name] for name in names} for row in whole]
        for number in range(2):
            answer = client.ask(get(f"/v1/{service}?k={number}", "Accept: application/msgpack"))
            packed = answer.data
            assert packed == wanted[number]
            assert isinstance(packed, dict)
            assert list(packed) == names
            by_json = client.ask(get(f"/v1/{service}?k={number}")).data
            assert isinstance(by_json, dict)
            for name in set(names) - {"d", "x"}:
                assert by_json[name] == packed[name]
            assert base64.b64decode(by_json["x"]) == packed["x"]
        batch = post(f"/v1/{service}", b'{"keys":[1,7,0]}', "Accept: application/msgpack")
        assert client.ask(batch).data == [wanted[1], None, wanted[0]]
        head = client.ask(get(f"/v1/{service}?k=0", "Accept: application/msgpack", method="HEAD"), "HEAD")
        assert int(head.headers["content-length"]) == len(PACKED({"data": wanted[0]}))
