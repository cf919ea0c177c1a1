"""What a node says of its executors, and of what they end: in its status and in its log."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.compartments.client import request
from tests.compartments.deadline import until
from tests.compartments.node import Node
from tests.engine.twinning import Twinned

ROWS = "SELECT format('k{}', range) AS id, hash(range)::VARCHAR AS v FROM range(20000)"
SERVICES = {
    "count": "SELECT count(*) AS n FROM things WHERE id <> :id",
    "slow": "SELECT count(*) AS n FROM things a, things b, things c WHERE a.v < b.v AND a.id <> :id",
    "large": "SELECT list(a.v || b.v) AS x FROM things a, things b WHERE a.id <> :id",
}


def said(node: Node, *parts: str) -> bool:
    return any(all(part in line for part in parts) for line in node.log.read_text().splitlines())


@pytest.fixture
def analyst(node: Node, tmp_path: Path) -> Node:
    """Compartment `one` has analytical services."""
    Twinned(tmp_path).load("things", ROWS, ("id",))
    node.compartments = {"one": {"business": "test", "executors": {"memory_mb": 64, "timeout_s": 2.0}}}
    node.services = {
        name: {"kind": "sql", "sql": sql, "compartment": "one", "analytical": True} for name, sql in SERVICES.items()
    }
    return node.start()


def executor(node: Node) -> dict[str, Any]:
    found: list[dict[str, Any]] = node.workers("one")[0]["executors"]
    return found[0] if found else {}


def queries(node: Node) -> dict[str, int]:
    found: dict[str, int] = node.workers("one")[0]["queries"]
    return found


def test_executors_are_seen_at_work_and_at_rest(analyst: Node) -> None:
    node = analyst
    assert node.workers("one")[0]["executors"] == [], "none is started before it is needed"
    with node.client() as client, node.client() as other:
        assert client.get("count").data == [{"n": 19_999}]
        until(lambda: executor(node).get("state") == "idle", what="it is reported")
        idle = executor(node)
        assert idle == {"pid": idle["pid"], "state": "idle", "service": "", "seconds": 0.0}
        os.kill(idle["pid"], 0)
        client.send(request("slow", "k1"))
        until(lambda: executor(node)["state"] == "busy", what="it is at work")
        other.send(request("count", "k1"))
        until(lambda: queries(node)["waiting"] == 1, what="another waits")
        busy = executor(node)
        assert (busy["pid"], busy["service"]) == (idle["pid"], "slow")
        assert busy["seconds"] > 0
        answer = client.answer()
        assert answer.status == 504
        assert b"2 s, all it may (executors.timeout_s)" in answer.body
        assert other.answer().data == [{"n": 19_999}]
        until(lambda: queries(node)["answered"] == 2, what="it is counted")
    assert queries(node)["timeouts"] == 1
    assert said(node, "warning", "service slow", "2 s", "executors.timeout_s")


def test_memory_and_crashes_are_said_and_counted(analyst: Node) -> None:
    node = analyst
    with node.client() as client:
        answer = client.get("large")
        assert answer.status == 422
        assert b'"code":"out_of_memory"' in answer.body
        assert b"64 MB it may have (executors.memory_mb)" in answer.body
        until(lambda: queries(node)["out_of_memory"] == 1, what="it is counted")
        assert said(node, "warning", "service large", "64 MB", "executors.memory_mb")
        client.send(request("slow", "k1"))
        until(lambda: executor(node)["state"] == "busy", what="it is at work")
        pid = executor(node)["pid"]
        os.kill(pid, signal.SIGKILL)
        assert client.answer().status == 503
        until(lambda: queries(node)["crashes"] == 1, what="it is counted")
        assert said(node, "warning", "service slow", f"pid {pid}", "signal 9")
        assert client.get("count").status == 200
        until(lambda: executor(node)["pid"] not in (0, pid), what="another is there")
