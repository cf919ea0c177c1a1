"""The fast way of SQL services: it says what the general way says, does nothing twice, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.http import answers
from engine.http.route import SqlRoute
from engine.snapshot import Snapshot
from tests.engine.bodies import body_of, document, long
from tests.engine.selecting import opened, route_of, rows_of, write_rows
from tests.engine.wire import Client, Wire, get, parse_answers

COUNT = 20_000
WHOLE = "SELECT n, text FROM t WHERE k = :k"
TARGETS = (
    "/v1/page?k=a&limit=2", "/v1/page?k=a&limit=2&meta=1", "/v1/page?k=a&limit=1000", "/v1/page?k=zzz&limit=2",
    "/v1/page?limit=2&k=a", "/v1/page?k=%61&limit=2", "/v1/page?k=a+b&limit=2", "/v1/page?k=a&limit=0",
    "/v1/page?k=a&limit=-1", "/v1/page?k=a&limit=x", "/v1/page?k=a", "/v1/page?k=a&limit=2&k=a", "/v1/page",
    "/v1/page?k=a&limit=2&cursor=x", "/v1/page?k=%ff&limit=2", "/v1/page?k=a&limit=2&other=1", "/v1/page?k=a&meta=2",
    "/v1/few?k=a", "/v1/whole?k=a", "/v1/whole?k=zzz", "/v1/counted?k=a",
)  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("t") / "v", rows_of(COUNT))


@pytest.fixture
def table(directory: Path) -> Iterator[Snapshot]:
    with opened(directory) as snapshot:
        yield snapshot


@pytest.fixture
def served(table: Snapshot, wire: Wire) -> Wire:
    wire.deploy(
        page=route_of("SELECT n, v, text FROM t WHERE k = :k ORDER BY v, n LIMIT :limit", table),
        whole=route_of(WHOLE, table),
        counted=route_of("SELECT v, count(*) AS c FROM t WHERE k = :k GROUP BY v ORDER BY v LIMIT 3", table),
        few=route_of(WHOLE, table, max_rows_scanned=100),
    )
    return wire


def route(served: Wire, name: str) -> SqlRoute:
    found = served.server.target(name)
    assert isinstance(found, SqlRoute)
    return found


def whole(client: Client, target: str) -> tuple[list[str], bytes]:
    """Status and headers but for date and framing, and the body."""
    received = long(client, get(target))
    head, _, _ = received.partition(b"\r\n\r\n")
    framing = ("date:", "content-length:", "transfer-encoding:", "trailer:")
    lines = [line for line in head.decode().split("\r\n") if not line.lower().startswith(framing)]
    return lines, body_of(received)


@pytest.mark.parametrize("target", TARGETS)
def test_it_says_what_the_general_way_says(served: Wire, target: str) -> None:
    name = target[4:].partition("?")[0]
    general = whole(served.client(), target)
    client = served.client()
    client.ask(get("/v1/page?k=a&limit=1"))
    recorded = served.record()
    counted = route(served, name).histogram.count
    assert whole(client, target) == general
    assert route(served, name).histogram.count == counted + 1
    assert route(served, name).begun is None
    assert served.server._answers.unfinished == 0
    if " 200 " in general[0][0]:
        assert recorded == [], "no head was read"


def counting(route: SqlRoute, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often its query is begun."""
    begun: list[int] = []
    select: Any = route.program._select

    def counted(*given: object, **more: object) -> object:
        begun.append(1)
        return select(*given, **more)

    monkeypatch.setattr(route.program, "_select", counted)
    return begun


@pytest.mark.parametrize(
    ("target", "status"), [("/v1/few?k=a", 422), ("/v1/whole?k=a", 200), ("/v1/page?k=a&limit=1", 200)]
)
def test_nothing_is_begun_twice(served: Wire, monkeypatch: pytest.MonkeyPatch, target: str, status: int) -> None:
    client = served.client()
    client.ask(get("/v1/page?k=a&limit=1"))
    begun = counting(route(served, target[4:].partition("?")[0]), monkeypatch)
    assert f" {status} " in whole(client, target)[0][0]
    assert begun == [1]
    assert document(client.ask(get("/v1/page?k=a&limit=1")))["data"], "and the connection goes on"


def test_what_is_refused_for_others_is_begun_once(served: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    client = served.client()
    client.ask(get("/v1/page?k=a&limit=1"))
    begun = counting(route(served, "whole"), monkeypatch)
    monkeypatch.setattr(answers, "UNFINISHED_MAX", 0)
    answer = client.ask(get("/v1/whole?k=a"))
    assert (answer.status, answer.code, begun) == (503, "overloaded", [1])
    assert document(client.ask(get("/v1/page?k=zzz&limit=1"))) == {"data": []}, "what is soon done is not concerned"


@pytest.mark.parametrize("target", ["/v1/few?k=a", "/v1/page?k=a&limit=1", "/v1/page?k=a&limit=x"])
def test_whoever_asks_is_not_idle(served: Wire, target: str) -> None:
    """Also where every answer is an error: the time it waits begins anew."""
    client = served.client()
    client.ask(get("/v1/page?k=a&limit=1"))
    before = client.connection.since_ns = client.connection.since_ns - 10**9
    client.ask(get(target))
    assert client.connection.since_ns > before


def test_two_requests_in_one_read_are_two(served: Wire) -> None:
    client = served.client()
    client.ask(get("/v1/page?k=a&limit=1"))
    client.received = b""
    client.send(get("/v1/page?k=a&limit=1") + get("/v1/page?k=b&limit=1"))
    first, second = parse_answers(client.pump())
    assert (first.status, second.status) == (200, 200)
    assert document(first)["data"] != document(second)["data"]


def test_a_replaced_route_lets_go_of_itself(served: Wire, table: Snapshot) -> None:
    old = route(served, "page")
    served.deploy(page=route_of(WHOLE, table))
    assert old.query == old.program.query
