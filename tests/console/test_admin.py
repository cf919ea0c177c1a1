"""The admin plane: who may ask, and what it answers."""

import stat
from pathlib import Path

import pytest

from console.admin import TOKEN_FILE, can_serve, is_own_host, read_or_make_token
from havok.errors import NodeError
from tests.console.person import Answer, Person, Served, ask, get


def test_health_is_open(owner: Person, node: Served) -> None:
    assert get(owner.admin_port, "/healthz").json == {"status": "ok"}
    assert get(owner.port, "/healthz").status == 200


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"},
                                  {"Authorization": "Bearer \xff\xe9"}])  # fmt: skip
@pytest.mark.parametrize("path", ["/api/status", "/metrics", "/nothing"])
def test_the_rest_takes_the_token(owner: Person, node: Served, path: str, sent: dict[str, str]) -> None:
    answer = get(owner.admin_port, path, sent)
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == "unauthenticated"


def test_with_the_token(owner: Person, node: Served) -> None:
    token = {"Authorization": f"Bearer {node.token()}"}
    assert get(owner.admin_port, "/api/status", token).json["supervisor"]["pid"] == node.pid
    assert (
        'havok_service_up{service="thing",compartment="one"} 1'
        in get(owner.admin_port, "/metrics", token).body.decode()
    )
    missing = get(owner.admin_port, "/nothing", token)
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    for path in ("/healthz", "/api/status", "/metrics"):
        assert path in missing.json["detail"]


def test_scaling_as_the_command_does(owner: Person, node: Served) -> None:
    token = {"Authorization": f"Bearer {node.token()}"}

    def scale(body: bytes, compartment: str = "one") -> Answer:
        return ask("POST", owner.admin_port, f"/api/compartments/{compartment}/scale", token, body)

    configured = scale(b"{}").json
    assert configured == {"workers": 1, "max": 1, "low": 0.35, "high": 0.75}
    assert scale(b'{"low": 0.2, "workers": 2}').json == {"workers": 2, "max": 2, "low": 0.2, "high": 0.75}
    found = node.status()["compartments"]["one"]
    assert (found["watermarks"], found["scaled"]) == ({"low": 0.2, "high": 0.75}, {"workers": 2, "low": 0.2})
    for body, status, says in (
        (b'{"low": 0.9}', 409, "must be below the high one"),
        (b'{"lo": 0.2}', 400, "send a JSON object like"),
        (b'{"low": "x"}', 400, "send a JSON object like"),
        (b"\xff", 400, "send a JSON object like"),
        (b"", 400, "send a JSON object like"),
        (b" " * (1 << 17), 413, ""),
    ):
        answer = scale(body)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert says in answer.json.get("detail", "")
    missing = scale(b'{"low": 0.2}', "onee")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    assert "did you mean one?" in missing.json["detail"]
    assert scale(b'{"reset": true}').json == configured
    assert ask("POST", owner.admin_port, "/api/compartments/one/scale", {}, b"{}").status == 401
    assert ask("GET", owner.admin_port, "/api/compartments/one/scale", token).status == 405
    newest = get(owner.admin_port, "/api/audit?limit=2", token).json["data"]
    assert [entry["action"] for entry in newest] == ["scale", "scale"], "what only asks, or is refused, is not there"


def test_another_host_is_refused(owner: Person, node: Served) -> None:
    answer = get(owner.admin_port, "/healthz", {"Host": "evil.example:8081"})
    assert (answer.status, answer.json["code"]) == (421, "wrong_host")


@pytest.mark.parametrize(
    ("given", "bound", "own"),
    [
        ("127.0.0.1:8081", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("LOCALHOST:1", "127.0.0.1", True),
        ("[::1]:8081", "::1", True),
        ("evil.example", "127.0.0.1", False),
        ("evil.example:8081", "localhost", False),
        ("", "127.0.0.1", False),
        ("node-3.internal", "0.0.0.0", True),
        ("node-3.internal", "node-3.internal", True),
    ],
)
def test_own_hosts(given: str, bound: str, own: bool) -> None:
    assert is_own_host(given, bound) is own


def test_the_token_is_made_once_for_its_user_alone(tmp_path: Path) -> None:
    token = read_or_make_token(tmp_path)
    assert len(token) >= 40
    assert read_or_make_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / TOKEN_FILE).stat().st_mode) == 0o600
    (tmp_path / TOKEN_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(NodeError, match="cannot be read"):
        read_or_make_token(tmp_path)


def test_a_node_can_serve_with_a_gate_and_a_ready_worker() -> None:
    ready = {"workers": [{"state": "starting"}, {"state": "ready"}]}
    assert can_serve({"gate": {"pids": [1]}, "compartments": {"a": ready}})
    assert not can_serve({"gate": {"pids": []}, "compartments": {"a": ready}})
    assert not can_serve({"gate": {"pids": [1]}, "compartments": {"a": {"workers": [{"state": "draining"}]}}})
