"""SQL services over the wire: forms, pages, long answers in turns, and what goes wrong on the way."""

import csv
import io
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from engine.forms.media import ARROW, CSV, MSGPACK
from engine.http.answering import STREAM_BYTES
from engine.http.answers import UNFINISHED_MAX
from engine.http.peer import BLOCKED, PAUSED
from engine.http.route import SqlRoute
from engine.snapshot import Snapshot, open_snapshot
from havok.keys import encode
from havok.rows import seal
from tests.engine.bodies import body_of, document, long, unchunked
from tests.engine.selecting import opened, route_of, rows_of, write_rows
from tests.engine.wire import Client, Wire, get, parse_answers, post

SQL = "SELECT n, v, text FROM t WHERE k = :k ORDER BY v, n LIMIT :limit"
WHOLE = "SELECT n, text FROM t WHERE k = :k"
COUNT = 20_000
WIDE = 20_000


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("t") / "v", rows_of(COUNT))


@pytest.fixture(scope="module")
def wide_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 MB of rows."""
    return write_rows(tmp_path_factory.mktemp("wide") / "v", rows_of(2000, "y" * WIDE))


@pytest.fixture
def table(directory: Path) -> Iterator[Snapshot]:
    with opened(directory) as snapshot:
        yield snapshot


@pytest.fixture
def wide(wide_directory: Path) -> Iterator[Snapshot]:
    with opened(wide_directory) as snapshot:
        yield snapshot


@pytest.fixture
def served(table: Snapshot, wire: Wire) -> Wire:
    wire.deploy(
        page=route_of(SQL, table),
        whole=route_of(WHOLE, table),
        point=route_of("SELECT v, text FROM t WHERE k = :k AND n = :n", table),
        counted=route_of("SELECT v, count(*) AS c FROM t WHERE k = :k GROUP BY v ORDER BY v LIMIT 3", table),
        few=route_of(WHOLE, table, max_rows_scanned=100),
        few_of_few=route_of(f"{WHOLE} LIMIT 4", table, max_rows_scanned=5),
        divided=route_of("SELECT 1 // (n - 2000) AS d FROM t WHERE k = :k", table),
    )
    return wire


@pytest.fixture
def client(served: Wire) -> Client:
    return served.client()


def test_a_page_as_json(client: Client) -> None:
    found = document(client.ask(get("/v1/page?k=a&limit=2")))
    assert found["data"] == [{"n": 0, "v": 0, "text": "x"}, {"n": 1000, "v": 0, "text": "x"}]
    assert list(found) == ["data", "next"]
    answer = client.ask(post("/v1/page", b'{"k": "a", "limit": 2, "meta": 1}'))
    assert document(answer)["data"] == found["data"]
    assert answer.headers["havok-version"].startswith("t@")
    columns = [{"name": "n", "type": "BIGINT"}, {"name": "v", "type": "BIGINT"}, {"name": "text", "type": "VARCHAR"}]
    assert document(answer)["meta"] == {"columns": columns}


def test_every_form_says_the_same(client: Client) -> None:
    target = "/v1/page?k=a&limit=5"
    rows = document(client.ask(get(target)))["data"]
    assert isinstance(rows, list)
    packed = client.ask(get(target, f"Accept: {MSGPACK}"))
    assert msgspec.msgpack.decode(packed.body)["data"] == rows
    table = client.ask(get(target, f"Accept: {CSV}"))
    assert list(csv.DictReader(io.StringIO(table.body.decode()))) == [
        {name: str(value) for name, value in row.items()} for row in rows
    ]
    arrow = client.ask(get(target, f"Accept: {ARROW}"))
    assert pa.ipc.open_stream(arrow.body).read_all().to_pylist() == rows
    cursor = document(client.ask(get(target)))["next"]
    assert table.headers["havok-next"] == arrow.headers["havok-next"] == cursor
    assert client.ask(get(target, "Accept: image/png")).code == "not_acceptable"


@pytest.mark.parametrize("limit", [1, 7, 33, 500])
def test_pages_are_the_whole_answer(client: Client, limit: int) -> None:
    whole = msgspec.json.decode(body_of(long(client, get(f"/v1/page?k=a&limit={COUNT}"))))
    assert "next" not in whole
    rows: list[object] = []
    target = f"/v1/page?k=a&limit={limit}"
    for _ in range(min(20, COUNT // limit)):
        found = document(client.ask(get(target)))
        assert isinstance(found["data"], list)
        rows += found["data"]
        if "next" not in found:
            break
        target = f"/v1/page?k=a&limit={limit}&cursor={found['next']}"
    assert rows == whole["data"][: len(rows)]


def test_groups_are_paged_by_their_number(client: Client) -> None:
    first = document(client.ask(get("/v1/counted?k=a")))
    assert first["data"] == [{"v": v, "c": 20} for v in range(3)]
    assert document(client.ask(get(f"/v1/counted?k=a&cursor={first['next']}")))["data"] == [
        {"v": v, "c": 20} for v in range(3, 6)
    ]


def test_what_is_no_cursor_is_refused(client: Client) -> None:
    others = document(client.ask(get("/v1/counted?k=a")))["next"]
    for cursor in ("x", "", "%00", others, "a" * 5000):
        answer = client.ask(get(f"/v1/page?k=a&limit=1&cursor={cursor}"))
        assert (answer.code, answer.json()["param"]) == ("bad_param", "cursor")
    assert "has no pages" in str(client.ask(get("/v1/whole?k=a&cursor=x")).json()["detail"])


def test_a_look_up_goes_the_fast_way_too(client: Client) -> None:
    recorded = client.wire.record()
    for _ in range(3):
        assert document(client.ask(get("/v1/point?k=a&n=5")))["data"] == [{"v": 35, "text": "x"}]
        assert document(client.ask(get("/v1/point?k=b&n=5")))["data"] == []
    assert len(recorded) == 1, "once read, the same block is not read again"
    assert document(client.ask(get("/v1/point?n=5&k=%61")))["data"] == [{"v": 35, "text": "x"}]
    assert client.ask(get("/v1/point?k=a&n=5", f"Accept: {CSV}")).body == b"v,text\r\n35,x\r\n"
    assert "meta" in document(client.ask(get("/v1/point?k=a&n=5&meta=1")))
    assert client.ask(get("/v1/point?k=a&n=x")).json()["param"] == "n"
    old = client.ask(get("/v1/point?k=a&n=5", "Connection: keep-alive", version="1.0"))
    assert document(old)["data"] == [{"v": 35, "text": "x"}]


def test_parameters_are_refused_by_name(client: Client) -> None:
    for target, name, rule in (
        ("/v1/page?limit=1", "k", "required"),
        ("/v1/page?k=a&limit=x", "limit", "type"),
        ("/v1/page?k=a&limit=1&other=2", "other", "unknown"),
        ("/v1/page?k=a&limit=1&meta=yes", "meta", "type"),
        ("/v1/page?k=a&k=b&limit=1", "k", "repeated"),
    ):
        problem = client.ask(get(target)).json()
        assert (problem["code"], problem["param"], problem["rule"]) == ("bad_param", name, rule)
    assert client.ask(post("/v1/page", b"[1]")).code == "bad_request"
    assert client.ask(get("/v1/page?k=a&limit=-1")).code == "query_failed"


def test_rows_over_the_bound_and_failures_of_values(client: Client) -> None:
    answer = client.ask(get("/v1/few?k=a"))
    assert (answer.status, answer.code) == (422, "too_many_rows")
    few = document(client.ask(get("/v1/few_of_few?k=a")))
    assert [row["n"] for row in few["data"]] == [0, 1, 2, 3]  # type: ignore[attr-defined]
    answer = client.ask(get("/v1/divided?k=a"))
    assert (answer.status, answer.code) == (422, "query_failed")
    assert client.wire.server.problems.counts["too_many_rows"] == 1


def test_a_head_has_the_length_of_the_body(client: Client) -> None:
    whole = client.ask(get("/v1/whole?k=b"))
    assert whole.body == b'{"data":[]}'
    for target in ("/v1/whole?k=b", "/v1/page?k=a&limit=3", "/v1/point?k=a&n=1"):
        length = client.ask(get(target)).headers["content-length"]
        head = client.ask(get(target, method="HEAD"), "HEAD")
        assert (head.headers["content-length"], head.body) == (length, b"")
    raw = long(client, get("/v1/whole?k=a", method="HEAD") + get("/v1/whole?k=b"))
    first, second = parse_answers(raw, ["HEAD", "GET"])
    assert int(first.headers["content-length"]) > STREAM_BYTES
    assert second.body == whole.body


def test_a_long_answer_comes_in_chunks_and_in_turn(client: Client) -> None:
    raw = long(client, get("/v1/whole?k=a") + get("/v1/point?k=a&n=1"))
    end = raw.index(b"0\r\n\r\n") + 5
    headers, body, trailers = unchunked(raw[:end])
    assert trailers == {}
    assert headers["content-type"] == "application/json"
    assert [row["n"] for row in msgspec.json.decode(body)["data"]] == list(range(COUNT))
    (after,) = parse_answers(raw[end:])
    assert after.data == [{"v": 7, "text": "x"}]
    assert client.wire.server._answers.unfinished == 0


def test_a_long_page_tells_where_it_ends_in_a_trailer(served: Wire, wide: Snapshot) -> None:
    served.deploy(wide=route_of("SELECT n, text FROM t WHERE k = :k LIMIT 50", wide))
    client = served.client()
    _, body, trailers = unchunked(long(client, get("/v1/wide?k=a", f"Accept: {CSV}")))
    assert body.count(b"\r\n") == 51
    raw = long(client, get(f"/v1/wide?k=a&cursor={trailers['havok-next']}"))
    assert [row["n"] for row in msgspec.json.decode(body_of(raw))["data"]] == list(range(50, 100))


def test_http_1_0_gets_a_long_answer_until_the_end(client: Client) -> None:
    raw = long(client, get("/v1/whole?k=a", "Connection: keep-alive", version="1.0"))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert len(msgspec.json.decode(body)["data"]) == COUNT
    assert client.ended


def test_others_have_their_turn_while_a_long_answer_is_made(served: Wire, wide: Snapshot) -> None:
    served.deploy(wide=route_of(WHOLE, wide))
    long, short = served.client(send_buffer=1 << 20), served.client()
    long.send(get("/v1/wide?k=a"))
    between = 0
    while not long.received.endswith(b"\r\n0\r\n\r\n"):
        short.received = b""
        short.send(get("/v1/point?k=a&n=1"))
        served.turn(2)
        short.read()
        between += bool(short.received)
        long.read()
    assert between >= 10, "many answers were given meanwhile"
    assert len(msgspec.json.decode(unchunked(long.received)[1])["data"]) == 2000


def test_a_slow_reader_costs_no_memory_and_loses_its_place_in_the_end(served: Wire, wide: Snapshot) -> None:
    served.deploy(wide=route_of(WHOLE, wide))
    client = served.client(send_buffer=4096)
    client.send(get("/v1/wide?k=a"))
    served.turn_until(lambda: client.connection.phase == BLOCKED)
    served.turn(50)
    assert client.connection.phase == BLOCKED
    assert len(client.connection.pending) < 2 * STREAM_BYTES + 40 * WIDE, "only what one turn made waits"
    assert served.server._answers.unfinished == 1
    client.late(BLOCKED)
    assert served.server._answers.unfinished == 0
    assert not client.connection.reactor._callbacks.get(client.connection.fd)


def test_a_caller_who_goes_away_gives_everything_back(served: Wire, wide: Snapshot) -> None:
    route = route_of(WHOLE, wide)
    served.deploy(wide=route)
    client = served.client(send_buffer=4096)
    client.send(get("/v1/wide?k=a"))
    served.turn_until(lambda: client.connection.phase in (BLOCKED, PAUSED))
    served.deploy(wide=None)
    route.program.close()
    assert wide._leases == 2, "an answer is under way"
    client.socket.close()
    served.turn_until(lambda: wide._leases == 1)
    assert served.server._answers.unfinished == 0


def test_who_ends_his_side_gets_what_is_made_here(served: Wire) -> None:
    client = served.client(tcp=True)
    client.send(get("/v1/whole?k=a") + get("/v1/point?k=a&n=1"))
    client.socket.shutdown(socket.SHUT_WR)
    served.turn_until(lambda: client.read() >= 0 and client.ended)
    end = client.received.index(b"0\r\n\r\n") + 5
    assert len(msgspec.json.decode(unchunked(client.received[:end])[1])["data"]) == COUNT
    (after,) = parse_answers(client.received[end:])
    assert after.data == [{"v": 7, "text": "x"}]


def test_an_answer_is_of_one_version(served: Wire, wide: Snapshot, tmp_path: Path) -> None:
    old = route_of(f"{WHOLE} LIMIT 60", wide)
    served.deploy(wide=old)
    client = served.client(send_buffer=4096)
    client.send(get("/v1/wide?k=a"))
    served.turn_until(lambda: client.connection.phase == BLOCKED)
    newer = open_snapshot(write_rows(tmp_path / "v", rows_of(10, "new")))
    served.deploy(wide=route_of(WHOLE, newer))
    newer.release()
    old.program.close()
    assert wide._leases == 2
    body = unchunked(client.pump())[1]
    assert {row["text"] for row in msgspec.json.decode(body)["data"]} == {"y" * WIDE}
    assert wide._leases == 1
    assert [row["text"] for row in document(client.talk(get("/v1/wide?k=a"))[0])["data"]] == ["new"] * 10  # type: ignore[attr-defined]


def test_damage_met_in_the_middle_ends_the_connection(wire: Wire, tmp_path: Path) -> None:
    """A body that is cut short is no whole body; what follows must not be taken for the rest."""
    rows = rows_of(COUNT, "z" * 100)
    values, row = rows[-1]
    key, value = seal(encode(("string", "int"), values), msgspec.json.encode(row))
    path = write_rows(tmp_path / "v", rows, spoil={key: value[:-1] + bytes([value[-1] ^ 1])})  # type: ignore[arg-type]
    snapshot = open_snapshot(path)
    counted = "SELECT count(*) AS c FROM t WHERE k = :k"
    wire.deploy(whole=route_of(WHOLE, snapshot), counted=route_of(counted, snapshot))
    snapshot.release()
    client = wire.client()
    client.send(get("/v1/whole?k=a"))
    raw = client.pump()
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.ended
    assert not raw.endswith(b"0\r\n\r\n")
    assert wire.server.problems.counts["store_down"] == 1
    assert wire.client().ask(get("/v1/counted?k=a")).code == "store_down"


def test_unfinished_answers_are_bounded(served: Wire, wide: Snapshot) -> None:
    served.deploy(wide=route_of(WHOLE, wide))
    clients = [served.client(send_buffer=4096) for _ in range(UNFINISHED_MAX)]
    for client in clients:
        client.send(get("/v1/wide?k=a"))
        served.turn_until(lambda client=client: client.connection.phase == BLOCKED)  # type: ignore[misc]
    late = served.client()
    answer = late.ask(get("/v1/wide?k=a"))
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert document(late.ask(get("/v1/point?k=a&n=1")))["data"], "a look-up is not concerned"
    clients[0].socket.close()
    served.turn_until(lambda: served.server._answers.unfinished < UNFINISHED_MAX)
    late.send(get("/v1/wide?k=b"))
    assert parse_answers(late.pump()[late.received.rindex(b"HTTP/1.1") :])[0].body == b'{"data":[]}'


def test_requests_are_counted_and_timed(served: Wire) -> None:
    client = served.client()
    for target in ("/v1/page?k=a&limit=1", "/v1/page?k=a&limit=x", "/v1/page?k=a&limit=2000", "/v1/page?limit=-1&k=a"):
        long(client, get(target))
    route = served.server.target("page")
    assert isinstance(route, SqlRoute)
    assert route.histogram.count == 4


def test_a_fault_in_a_program_is_no_ones_but_ours(served: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    route = served.server.target("whole")
    assert isinstance(route, SqlRoute)

    def broken(*_: object, **__: object) -> Iterator[object]:
        raise ZeroDivisionError("a mistake")
        yield

    monkeypatch.setattr(route.program, "_select", broken)
    answer = served.client().ask(get("/v1/whole?k=a"))
    assert (answer.status, answer.code) == (500, "internal")
    assert "mistake" not in str(answer.json())
    assert re.fullmatch(rb"\{.*\}", answer.body)
