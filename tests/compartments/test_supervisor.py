"""Whole nodes: started, reloaded, commanded, drained, refused."""

import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic

import zmq

from compartments.processes.member import Patience
from havok import messages
from havok.layout import control_socket
from tests.compartments.client import Answer, Load, request, whole
from tests.compartments.deadline import until
from tests.compartments.node import ROOT, Node, descriptors, maps, service


def reload(node: Node) -> None:
    node.write()
    node.request(messages.ReloadRequest())


def test_a_node_serves_both_compartments(node: Node) -> None:
    node.load(1)
    node.start()
    with node.client() as client:
        assert client.get("a").data == {"id": "k1", "v": "v1-1"}
        assert client.get("b").compartment == "two"
        missing = client.get("nothing")
        assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert node.stop() == 0


# -- one connection, several compartments ----------------------------------------------------


def test_a_connection_wanders_between_compartments(node: Node) -> None:
    node.load(1)
    node.start()
    pids = [*node.worker_pids(), node.gate_pid()]
    with node.client() as client:
        for name in ("a", "b", "a", "b"):  # both workers have found each other
            client.get(name)
        before = [descriptors(pid) for pid in pids]
        started = monotonic()
        for n in range(1000):
            for name, compartment in (("a", "one"), ("b", "two")):
                answer = client.get(name, f"k{n % 20}")
                assert (answer.status, answer.compartment) == (200, compartment)
                assert answer.data["id"] == f"k{n % 20}"
        took = monotonic() - started
        print(f"2000 hand-overs one after another: {took / 2000 * 1e6:.0f} µs each")
    until(
        lambda: all(descriptors(pid) <= was for pid, was in zip(pids, before, strict=True)), what="no descriptor left"
    )


def test_pipelined_requests_of_several_compartments_are_answered_in_order(node: Node) -> None:
    node.load(1)
    node.start()
    asked = [("a" if n * n % 7 % 2 else "b", f"k{n % 20}") for n in range(3000)]
    expected = {"a": "one", "b": "two"}
    with node.client() as client:
        sender = threading.Thread(target=lambda: client.send(b"".join(request(name, key) for name, key in asked)))
        sender.start()
        for name, key in asked:
            answer = client.answer()
            assert (answer.status, answer.compartment, answer.data["id"]) == (200, expected[name], key)
        sender.join()


def test_many_connections_wander_at_once(node: Node) -> None:
    node.compartments["two"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=8, good=in_its_compartment) as load:
        until(lambda: load.asked > 3000)
    print(load.summary())
    assert load.failures == []


def in_its_compartment(name: str, key: str, answer: Answer) -> bool:
    return whole(name, key, answer) and answer.compartment == {"a": "one", "b": "two"}[name]


# -- the end -----------------------------------------------------------------------------


def test_sigterm_lets_requests_in_flight_finish(node: Node) -> None:
    node.load(1)
    node.start()
    with node.client() as busy, node.client() as idle, node.client() as next_one:
        assert idle.get("a").status == 200
        assert next_one.get("b").status == 200
        busy.send(b"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n")
        busy.send(b'{"keys":')
        until(lambda: node.workers("one")[0]["connections"] >= 1)
        started = monotonic()
        node.terminate()
        until(lambda: "draining" in {w["state"] for w in node.workers("two")}, 3)
        while (answer := next_one.get("b")).headers.get("connection") != "close":  # it hears of its end in a moment
            assert answer.status == 200
        assert answer.status == 200
        assert next_one.ended()
        assert idle.ended(), "who asks nothing is not waited for"
        busy.send(b'["k1"]}  ')
        answer = busy.answer()
        assert answer.status == 200
        assert answer.data == [{"id": "k1", "v": "v1-1"}]
        assert answer.headers["connection"] == "close"
        assert node.supervisor is not None
        assert node.supervisor.wait(10) == 0
        print(f"drained in {monotonic() - started:.2f} s")
        assert monotonic() - started < node.node["drain_s"] + 2


def test_sigterm_does_not_wait_for_ever(node: Node) -> None:
    node.node["drain_s"] = 1.0
    node.load(1)
    node.start()
    with node.client() as never:
        never.send(b"POST /v1/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{")
        until(lambda: node.workers("one")[0]["connections"] == 1)
        started = monotonic()
        assert node.stop() == 0
        took = monotonic() - started
    print(f"ended after {took:.2f} s of 1.0")
    assert took < 4


def test_a_burst_of_new_connections_as_it_drains(node: Node) -> None:
    """Whoever was connected before the end is answered."""
    node.load(1)
    node.start()
    clients = [node.client() for _ in range(200)]
    node.terminate()
    for client in clients:
        client.send(request("a"))
    assert [client.answer().status for client in clients] == [200] * 200
    for client in clients:
        client.sock.close()
    assert node.supervisor is not None
    assert node.supervisor.wait(10) == 0


# -- reloading ----------------------------------------------------------------------------


def test_reloads_under_load_fail_nothing(node: Node) -> None:
    """FAULTS 6: services and compartments come, change, move and go; the others do not notice."""
    node.load(1)
    node.start()
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=4, gap_s=0.003) as load:  # none is over its share
        until(lambda: load.asked > 200)
        node.services["c"] = service("two", fields=["v"])
        reload(node)
        with node.client() as client:
            assert client.get("c").data == {"v": "v1-1"}
            node.services["c"] = service("two", fields=["id"])  # changed
            reload(node)
            assert client.get("c").data == {"id": "k1"}
            node.services["b"] = service("one")  # moved
            reload(node)
            assert client.get("b").compartment == "one"
            node.compartments["three"] = {"business": "test", "workers": {"min": 2, "max": 2}}
            node.services["a"] = service("three")  # moved to one that is new
            reload(node)
            assert client.get("a").compartment == "three"
            del node.services["c"]  # removed
            reload(node)
            assert client.get("c").status == 404
        del node.compartments["two"]  # nobody's any more
        reload(node)
        until(lambda: "two" not in node.status()["compartments"])
        node.compartments["one"]["workers"] = {"min": 2, "max": 2}
        node.compartments["three"]["workers"] = {"min": 1, "max": 2}
        reload(node)
        until(node.is_serving, 20)
        seen = load.asked
        until(lambda: load.asked > seen + 300)
    print(load.summary())
    assert load.failures == []
    assert len(node.workers("one")) == 2


def test_idle_connections_survive_the_end_of_their_compartment(node: Node) -> None:
    node.load(1)
    node.start()
    with node.client() as client:
        assert client.get("b").compartment == "two"
        node.services["b"] = service("one")
        del node.compartments["two"]
        (pid,) = node.worker_pids("two")
        reload(node)
        until(lambda: not Path(f"/proc/{pid}").exists())
        assert client.get("b").compartment == "one"


# -- a command that was killed ---------------------------------------------------------------

STAGING = """
import sys
from pathlib import Path
from console.node import Node
from havok.messages import StageRequest
node = Node(Path(sys.argv[1]))
node.request(StageRequest("things", sys.argv[2]))
print("staged", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_load_had_staged_is_closed(node: Node) -> None:
    """Else a version that nobody can activate stays mapped, and on the disk, for ever."""
    node.datasets["others"] = {"key": ["id"]}
    node.load(1)
    node.load(1, "others")
    node.start()
    two = node.load(2, point=False)
    command = [sys.executable, "-c", STAGING, str(node.data_dir), two]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as loader:
        assert loader.stdout is not None
        assert loader.stdout.readline() == b"staged\n"
        for number in (2, 3):  # whoever is alive keeps it, however often the watch looks
            others = node.load(number, "others")
            until(lambda others=others: node.status()["datasets"]["others"]["live"] == others)  # type: ignore[misc]
        pids = node.worker_pids()
        assert all(maps(pid, two) for pid in pids)
        loader.kill()
    until(lambda: not any(maps(pid, two) for pid in pids), 5)
    assert node.is_serving()


# -- rubbish on the control socket --------------------------------------------------------


def test_rubbish_on_the_control_socket_hurts_nobody(tmp_path: Path) -> None:
    with Node(tmp_path, patience=Patience(hung_s=3)) as node:
        node.load(1)
        node.start()
        pids = [*node.worker_pids(), node.gate_pid()]
        report = messages.encode(messages.Report("one-1", pids[0], 1, 2))
        rubbish = [
            b"",
            b"\x00",
            b"\xff" * 1000,
            os.urandom(200),
            report[:-3],
            b"\x91" * 10_000,
            report.replace(b"one", b"\xff\xfe\xfd"),
            b"\x82\xa4type\xa6Resync\xa1z" + b"\x91" * 100_000 + b"\xc0",
            b"\x81\xa4type\xa6Resync",
        ]
        with zmq.Context() as context, context.socket(zmq.DEALER) as wire:
            wire.setsockopt(zmq.LINGER, 0)
            wire.connect(control_socket(node.data_dir))
            for body in rubbish:
                wire.send(body)
                assert wire.poll(2000), f"an answer to {body[:20]!r}"
                reply = messages.decode_outbound(wire.recv())
                assert isinstance(reply, messages.Reply)
                assert reply.error is not None
                assert "not understood" in reply.error
            wire.send_multipart([b"many", b"frames", b"", b"no message"])
            assert wire.poll(2000)
            for forged in ("one-1", "nobody"):
                wire.send(messages.encode(messages.Report(forged, 1, 1, 10**9, faults={"things@x": "no", "x": "y"})))
        with socket.socket(socket.AF_UNIX) as raw:  # no ZeroMQ at all
            raw.connect(control_socket(node.data_dir).removeprefix("ipc://"))
            raw.send(struct.pack("<20sI", b"\xff" * 20, 7) * 50)
        assert node.is_serving()
        assert [*node.worker_pids(), node.gate_pid()] == pids
        assert node.workers("one")[0]["seq"] < 10**9


def test_each_worker_says_how_far_it_is(node: Node) -> None:
    node.load(1)
    node.start()
    node.services["c"] = service("one")
    reload(node)

    def caught_up() -> bool:
        status = node.status()
        seqs = {w["seq"] for found in status["compartments"].values() for w in found["workers"]}
        return seqs == {status["supervisor"]["seq"]}

    until(caught_up, 5, "acks of the newest change")
