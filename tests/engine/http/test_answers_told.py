"""What the log is told of answers of SQL services, and their callers are not."""

import logging
from pathlib import Path

import pytest

from engine.http.problems import SAY_AGAIN_NS, Problems
from engine.snapshot import open_snapshot
from tests.engine.selecting import route_of, rows_of, write_rows
from tests.engine.wire import Wire, get

WHOLE = "SELECT k, n, v, text FROM t WHERE k = :k"


def test_an_answer_that_breaks_off_is_told_with_its_reason(
    wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = open_snapshot(write_rows(tmp_path / "v", rows_of(5000, "z" * 100)))
    wire.deploy(whole=route_of(WHOLE, snapshot, max_rows_scanned=4000))
    snapshot.release()
    client = wire.client()
    client.send(get("/v1/whole?k=a"))
    raw = client.pump()
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert client.ended
    (told,) = caplog.messages
    assert told.startswith("service q: an answer broke off after ")
    assert told.endswith("too_many_rows: more than 4,000 rows would be read (max_rows_scanned); ask for less at a time")


def test_a_value_that_cannot_be_calculated_with_is_told_to_the_log_alone(
    wire: Wire, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = open_snapshot(write_rows(tmp_path / "v", rows_of(3, "N5DNAA")))
    wire.deploy(cast=route_of("SELECT CAST(text AS BIGINT) AS x FROM t WHERE k = :k", snapshot))
    snapshot.release()
    for _ in range(3):
        answer = wire.client().ask(get("/v1/cast?k=a"))
        assert (answer.status, answer.json()["detail"]) == (422, "a text is no BIGINT")
    assert caplog.messages == ["service q: query_failed: a text is no BIGINT: 'N5DNAA'"]


def test_the_same_is_said_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    problems = Problems("c", b"")
    for service, code, now_ns in (
        ("a", "x", 1),
        ("a", "x", SAY_AGAIN_NS),
        ("a", "y", 2),
        ("b", "x", 3),
        ("a", "x", SAY_AGAIN_NS + 1),
    ):
        problems.tell(service, code, f"{code} at {now_ns}", now_ns)
    assert caplog.messages == [
        "service a: x at 1", "service a: y at 2", "service b: x at 3", f"service a: x at {SAY_AGAIN_NS + 1}",
    ]  # fmt: skip
