"""Workers as their supervisor and their clients see them."""

import signal
import threading
from time import monotonic

import psutil
import pytest

from compartments.worker import UNLISTED_S_MAX
from havok import messages
from tests.compartments.client import Client, Load, request
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal, service


def test_a_worker_told_to_end_by_somebody_else_fails_nobody(node: Node) -> None:
    """As by an operator, or the kernel's kinder relatives: it drains, and is replaced."""
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    failed: list[str] = []
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            try:
                with Client(("127.0.0.1", node.port), 5) as client:
                    if client.get("a").status != 200:
                        failed.append("status")
            except OSError as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        pid = node.worker_pids("one")[0]
        send_signal(pid, signal.SIGTERM)
        until(lambda pid=pid: pid not in node.worker_pids("one"))  # type: ignore[misc]
        until(node.is_serving)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_connection_waits_for_the_only_worker_of_another_compartment(node: Node) -> None:
    """It was killed and is back within the second: nobody is refused, and no connection is lost."""
    node.load(1)
    node.start()
    with node.client() as client:
        assert client.get("a").status == 200
        (pid,) = node.worker_pids("two")
        send_signal(pid, signal.SIGKILL)
        until(lambda: pid not in node.worker_pids("two"))
        started = monotonic()
        answer = client.get("b")
        print(f"answered {monotonic() - started:.2f} s after its worker was seen to be gone")
        assert (answer.status, answer.compartment) == (200, "two")
        assert client.get("a").compartment == "one"


def test_a_node_ends_though_a_connection_waits_for_a_worker(node: Node) -> None:
    node.load(1)
    node.start()
    with node.client() as client:
        assert client.get("a").status == 200
        (pid,) = node.worker_pids("two")
        send_signal(pid, signal.SIGKILL)
        until(lambda: pid not in node.worker_pids("two"))
        client.send(request("b"))
        assert node.stop(node.node["drain_s"] + 2) == 0
        answer = client.answer()
        assert answer.status in (200, 503), "served by a successor, or nobody was left to"
        assert client.ended()


@pytest.fixture
def lone(node: Node) -> Node:
    """A node of one worker, started."""
    del node.compartments["two"], node.services["b"]
    node.load(1)
    return node.start()


def test_a_renewal_closes_no_connection(lone: Node) -> None:
    """A worker hears the signal before it hears of its successor, as often as not."""
    with Load(("127.0.0.1", lone.port), ["a"], threads=4) as load:
        for _ in range(6):
            lone.request(messages.RestartRequest(), 40)
    print(load.summary())
    assert (load.failures, load.reconnects) == ([], 0)


def test_a_worker_told_to_end_serves_on_until_others_know(lone: Node) -> None:
    assert lone.supervisor is not None
    (pid,) = lone.worker_pids("one")
    with lone.client() as client:
        assert client.get("a").status == 200
        send_signal(lone.supervisor.pid, signal.SIGSTOP)
        try:
            send_signal(pid, signal.SIGTERM)
            ended = monotonic() + UNLISTED_S_MAX / 2
            while monotonic() < ended:
                assert "connection" not in client.get("a").headers
            until(lambda: client.get("a").headers.get("connection") == "close", 5, "nobody says a word")
        finally:
            send_signal(lone.supervisor.pid, signal.SIGCONT)


def test_an_orphan_ends_when_told_to(node: Node) -> None:
    node.load(1)
    node.start()
    pids = [*node.worker_pids(), node.gate_pid()]
    with node.client() as client:
        assert client.get("a").status == 200
        node.kill_supervisor()
        started = monotonic()
        for pid in pids:
            send_signal(pid, signal.SIGTERM)
        assert client.ended()
        until(lambda: not any(alive(pid) for pid in pids), 5)
        print(f"orphans ended {monotonic() - started:.2f} s after SIGTERM")


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_it_reports_what_it_does(node: Node) -> None:
    node.load(1)
    node.start()
    with node.client() as client:
        for _ in range(10):
            client.get("a")
        client.get("a", "nobody")
        client.send(b"GET /v1/a?id=1&id=2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answer().status == 400
        (worker,) = until(lambda: [w for w in node.workers("one") if w["requests"] == 12])
        assert worker["connections"] == 1
        assert worker["errors"]["bad_param"] == 1
    until(lambda: node.workers("one")[0]["connections"] == 0)


def test_it_reports_what_it_costs(node: Node) -> None:
    node.services["idle"] = service("one")
    node.load(1)
    node.start()
    stop = threading.Event()

    def ask() -> None:
        with node.client() as client:
            while not stop.is_set():
                client.get("a")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        (worker,) = until(lambda: [w for w in node.workers("one") if w["busy"] > 0.01 and "a" in w["costs"]])
    finally:
        stop.set()
        thread.join()
    assert set(worker["costs"]) == {"a"}
    assert 0 < worker["costs"]["a"] <= worker["busy"] + 0.001 <= 1.1
    actual = psutil.Process(worker["pid"]).memory_info().rss / 2**20
    assert abs(worker["rss_mb"] - actual) < 10
    assert worker["faults_major"] >= 0
    until(lambda: node.workers("one")[0]["costs"] == {})
    until(lambda: node.workers("one")[0]["busy"] < 0.1)


def test_it_reports_how_long_a_turn_is_waited_for(node: Node) -> None:
    """A worker that is stopped for a while was late by as much."""
    node.load(1)
    node.start()
    (pid,) = node.worker_pids("one")
    until(lambda: 0 < node.workers("one")[0]["delay_us"] < 50_000)
    send_signal(pid, signal.SIGSTOP)
    until(lambda: node.workers("one")[0]["state"] == "silent")
    send_signal(pid, signal.SIGCONT)
    until(lambda: node.workers("one")[0]["delay_us"] > 50_000)
    until(lambda: node.workers("one")[0]["delay_us"] < 50_000)


def test_a_worker_stays_small(node: Node) -> None:
    node.load(1)
    node.start()
    (pid,) = node.worker_pids("one")
    private = psutil.Process(pid).memory_full_info().uss / 2**20
    print(f"private memory of a worker: {private:.1f} MB (bar 45)")
    assert private <= 60
