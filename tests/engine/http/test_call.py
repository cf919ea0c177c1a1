"""What a body may be, by the kind of service, and what is said of one that it is not."""

from pathlib import Path

import pytest

from engine.snapshot import open_snapshot
from tests.engine.selecting import route_of, rows_of, write_rows
from tests.engine.wire import Wire, get, post


@pytest.fixture
def both(airports: Wire, tmp_path: Path) -> Wire:
    """`airport`, and `page` by SQL."""
    snapshot = open_snapshot(write_rows(tmp_path / "v", rows_of(3)))
    airports.deploy(page=route_of("SELECT n FROM t WHERE k = :k", snapshot))
    snapshot.release()
    return airports


@pytest.mark.parametrize("service", ["airport?", "page?"])
def test_a_post_without_a_body(both: Wire, service: str) -> None:
    for request in (get(f"/v1/{service[:-1]}", method="POST"), post(f"/v1/{service[:-1]}", b"")):
        answer = both.client().ask(request)
        assert (answer.status, answer.code) == (400, "bad_request")
        assert answer.json()["detail"] == "the body is empty: send a JSON object"


@pytest.mark.parametrize("target", ["/v1/airport?faa=JFK", "/v1/page?k=a"])
def test_parameters_in_both_places(both: Wire, target: str) -> None:
    answer = both.client().ask(post(target, b"{}"))
    assert (answer.status, answer.code) == (400, "bad_request")
    assert "has its parameters in the body, not in the URL" in answer.json()["detail"]


def test_what_is_no_object_is_told_by_kind(both: Wire) -> None:
    body = "the body must be a JSON object of parameters"
    assert both.client().ask(post("/v1/page", b"[1]")).json()["detail"] == body
    assert both.client().ask(post("/v1/airport", b"[1]")).json()["detail"] == f'{body}, or {{"keys": [...]}}'
    assert both.client().ask(post("/v1/page", b'{"k":"a"}')).data == [{"n": 0}, {"n": 1}, {"n": 2}]
