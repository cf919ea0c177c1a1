"""Connections: how bytes arrive changes no answer, and every answer says where it came from."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.making import VERSION, route_of, write_airports
from tests.engine.wire import (
    Client,
    Wire,
    chunked,
    get,
    post,
    undated,
)

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


REQUESTS = {
    "fast": JFK,
    "other": get("/v1/airport?faa=LGA"),
    "miss": get("/v1/airport?faa=XXX"),
    "escaped": get("/v1/airport?faa=%C3%A4"),
    "bad": get("/v1/airport?faa=JFK&faa=JFK"),
    "head": get("/v1/airport?faa=JFK", method="HEAD"),
    "post": post("/v1/airport", b'{"faa":"JFK"}'),
    "batch": post("/v1/airport", b'{"keys":["JFK","XXX","a b"]}'),
    "chunked": chunked("/v1/airport", b'{"fa', b'a":"JFK"}', trailers=b"X: y\r\n"),
    "body": get("/v1/airport?faa=JFK", "Content-Length: 3") + b"abc",
    "msgpack": get("/v1/airport?faa=JFK", "Accept: application/msgpack"),
    "traced": get("/v1/airport?faa=JFK", "traceparent: 00-1-2-01"),
    "blank": b"\r\n" + JFK,
    "blanks": b"\r\n\r\n\r\n" + JFK,
    "none": get("/v1/nothing?faa=JFK"),
    "health": get("/healthz"),
    "method": get("/v1/airport?faa=JFK", method="DELETE"),
    "absolute": get("http://havok.test/v1/airport?faa=JFK"),
    "old": get("/v1/airport?faa=JFK", "Connection: keep-alive", version="1.0"),
}
LAST = {
    "close": get("/v1/airport?faa=JFK", "Connection: close"),
    "once": get("/v1/airport?faa=JFK", version="1.0"),
    "smuggled": get("/v1/airport?faa=JFK", "Content-Length: 5", "Transfer-Encoding: chunked"),
    "newline": JFK.replace(b"\r\n", b"\n"),
    "garbage": b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    "long": b"GET /" + b"x" * 9000,
    "chunk": chunked("/v1/airport", b"{}").replace(b"2\r\n", b"2 \r\n"),
    "type": post("/v1/airport", b"<x/>", content_type="text/xml"),
}
METHODS = {"head": "HEAD"}


def answers_to(
    wire: Wire, pieces: list[bytes], asked: list[str]
) -> tuple[list[tuple[int, dict[str, str], bytes]], bool]:
    client = wire.client()
    answers = client.talk(*pieces, methods=asked)
    client.socket.close()
    wire.turn(2)
    return undated(answers), client.ended


@pytest.mark.parametrize("name", [*REQUESTS, *LAST])
def test_byte_by_byte(airports: Wire, name: str) -> None:
    data = {**REQUESTS, **LAST}[name]
    if name == "long":
        pieces = [data[:8000], *(data[at : at + 1] for at in range(8000, len(data)))]
    else:
        pieces = [data[at : at + 1] for at in range(len(data))]
    asked = [METHODS.get(name, "GET")]
    whole = answers_to(airports, [data], asked)
    assert whole[0]
    assert answers_to(airports, pieces, asked) == whole
    if name in REQUESTS:  # and behind another, so that the fast way is open
        assert answers_to(airports, [JFK, data, data], ["GET", *asked, *asked]) == (
            [*answers_to(airports, [JFK], ["GET"])[0], *whole[0], *whole[0]],
            False,
        )


@given(
    wanted=st.lists(st.sampled_from(list(REQUESTS)), min_size=1, max_size=6),
    last=st.one_of(st.none(), st.sampled_from(list(LAST))),
    cuts=st.lists(st.integers(0, 3000), max_size=8),
)
@settings(max_examples=150)
def test_any_pipeline_in_any_pieces(shared: Wire, wanted: list[str], last: str | None, cuts: list[int]) -> None:
    """A connection per request, one for all at once, one in pieces: the same answers."""
    asked = [METHODS.get(name, "GET") for name in wanted]
    requests = [REQUESTS[name] for name in wanted]
    if last is not None:
        asked.append("GET")
        requests.append(LAST[last])
    single = [answers_to(shared, [data], [method])[0] for data, method in zip(requests, asked, strict=True)]
    expected = [answer for answers in single for answer in answers]
    stream = b"".join(requests)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    for parts in ([stream], pieces, requests):
        assert answers_to(shared, parts, asked) == (expected, last is not None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, airports_dir: Path) -> Iterator[Wire]:
    wire = Wire()
    wire.deploy(airport=route_of(write_airports(tmp_path_factory.mktemp("shared") / "v")))
    yield wire
    wire.close()


def test_the_fast_way_is_taken_and_answers_alike(client: Client) -> None:
    """Otherwise the tests above would compare the general way with itself."""
    general = client.wire.record()
    first = client.ask(JFK)
    assert [request.path for request, _ in general] == [b"/v1/airport"]
    assert undated([client.ask(JFK)]) == undated([first])
    assert client.ask(get("/v1/airport?faa=XXX")).status == 404
    assert [request.path for request, _ in general] == [b"/v1/airport"], "the same headers again: answered on the spot"
    client.ask(get("/v1/airport?faa=%4A"))
    client.ask(JFK + JFK[:-1])
    assert len(general) == 3


def test_provenance_of_everything(airports: Wire) -> None:
    for name, data in {**REQUESTS, **LAST}.items():
        for answer in airports.client().talk(data, methods=[METHODS.get(name, "GET")]):
            assert answer.headers["havok-compartment"] == "travel-high", name
            assert answer.headers["date"].endswith(" GMT"), name
            of_a_row = answer.status == 200 and name != "health"
            assert not of_a_row or answer.headers["havok-version"] == f"airports@{VERSION}", name
    [miss] = airports.client().talk(REQUESTS["miss"])
    assert miss.headers["havok-version"] == f"airports@{VERSION}"
