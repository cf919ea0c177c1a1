"""What an earlier supervisor left is taken over."""

import signal
import socket
from pathlib import Path
from time import monotonic

from compartments.processes.listeners import borrow, lending_path
from compartments.processes.roster import Entry, read_roster, write_roster
from tests.compartments.client import request
from tests.compartments.deadline import until
from tests.compartments.node import Node, open_files, send_signal
from tests.compartments.processes.test_fleet import answered, gone


def test_a_new_supervisor_adopts_what_serves_on(node: Node) -> None:
    """FAULTS 3."""
    node.load(1)
    node.start()
    old = [*node.worker_pids(), node.gate_pid()]
    with node.client() as established:
        assert established.get("a").status == 200
        node.kill_supervisor()
        for _ in range(50):
            assert established.get("b").status == 200
            assert answered(node, "a"), "new connections are taken as well"
        started = monotonic()
        node.start()
        print(f"a new supervisor had adopted all after {monotonic() - started:.2f} s (bar 2)")
        assert established.get("b").status == 200
    assert [*node.worker_pids(), node.gate_pid()] == old
    assert node.status()["supervisor"]["epoch"] == 2
    node.swap(node.load(2, point=False))
    with node.client() as client:
        assert client.get("a").data["v"] == "v2-1", "they follow the new one"
    assert node.stop() == 0
    assert all(gone(pid) for pid in old)


def test_an_adopted_worker_that_is_killed_has_a_successor(node: Node) -> None:
    node.load(1)
    node.start()
    node.kill_supervisor()
    node.start()
    for pid in (node.worker_pids("one")[0], node.gate_pid()):
        send_signal(pid, signal.SIGKILL)
    until(lambda: not node.is_serving())
    until(node.is_serving)
    assert answered(node, "a")
    names = [worker["name"] for worker in node.workers("one") + node.workers("two")]
    assert len(set(names)) == len(names)


def test_without_gate_and_supervisor_callers_wait_for_the_next(node: Node) -> None:
    """The listening socket outlives both: workers hold it."""
    node.load(1)
    node.start()
    node.kill_supervisor()
    gate = next(entry.pid for entry in recorded(node) if entry.compartment == "gate")
    send_signal(gate, signal.SIGKILL)
    until(lambda: gone(gate))
    queued = [node.client() for _ in range(50)]
    for client in queued:
        client.send(request("a"))
    node.start()
    for client in queued:
        assert client.answer().status == 200
        client.sock.close()


def recorded(node: Node) -> tuple[Entry, ...]:
    roster = read_roster(node.data_dir)
    assert roster is not None
    return roster.processes


def test_a_supervisor_killed_while_a_worker_retires_adopts_no_worker_too_many(node: Node) -> None:
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    leaving = node.worker_pids("one")[0]
    with node.client() as client:
        assert client.get("a").status == 200
        send_signal(leaving, signal.SIGTERM)
        node.kill_supervisor()
        node.start()
        until(lambda: gone(leaving))
        until(node.is_serving)
        assert len(node.worker_pids("one")) == 2


def test_one_that_is_not_on_record_is_told_to_end(node: Node) -> None:
    """Started by a supervisor that was killed before it could write it down."""
    node.load(1)
    node.start()
    (stranger,) = node.worker_pids("one")
    node.kill_supervisor()
    write_roster(node.data_dir, [entry for entry in recorded(node) if entry.pid != stranger])
    with node.client() as client:
        node.start()
        until(lambda: gone(stranger))
        until(node.is_serving)
        assert client.get("a").status == 200
    assert stranger not in node.worker_pids("one")


def test_a_gate_that_drains_lends_its_port_still(node: Node) -> None:
    """It has closed its own end; whoever takes over then must have a listening socket, not what came to its number."""
    node.load(1)
    node.start()
    node.kill_supervisor()
    gate = next(entry for entry in recorded(node) if entry.compartment == "gate")
    with node.client() as half:
        half.send(b"GET /v1/a")  # it is waited for, so that the drain takes its time
        send_signal(gate.pid, signal.SIGTERM)
        until(lambda: not is_accepted_by(gate.pid, node.port), what="its own end is closed")
        (lent,) = borrow([lending_path(gate.inbox)]).values()
        assert lent.getsockname() == ("127.0.0.1", node.port)
        assert lent.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        lent.close()


def is_accepted_by(pid: int, port: int) -> bool:
    """Whether the process has more than one descriptor of the listening socket: to accept, and to lend."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if is_listener(line, port)}
    return held(pid, inodes) > 1


def is_listener(line: str, port: int) -> bool:
    fields = line.split()
    return fields[3] == "0A" and fields[1].endswith(f":{port:04X}")


def held(pid: int, inodes: set[str]) -> int:
    return sum(name.removeprefix("socket:[").removesuffix("]") in inodes for name in open_files(pid, "socket:"))
