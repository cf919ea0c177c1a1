"""What an earlier supervisor left is taken over."""

import signal
from time import monotonic

from compartments.roster import Entry, read_roster, write_roster
from tests.compartments.client import request
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal
from tests.compartments.test_fleet import answered, gone


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
