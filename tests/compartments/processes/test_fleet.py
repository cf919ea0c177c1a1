"""The processes of a node: killed, hung, restarted, ended, taken over."""

import asyncio
import signal
from functools import partial
from pathlib import Path
from time import monotonic

import psutil
import uvloop

from compartments.processes.member import Patience
from compartments.processes.restarts import Restarts
from compartments.supervisor import Supervisor
from havok.messages import Report
from tests.compartments.client import Load, request
from tests.compartments.deadline import pause, until
from tests.compartments.node import Node, send_signal


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def answered(node: Node, service: str, seconds: float = 1) -> bool:
    try:
        with node.client(seconds) as client:
            return client.get(service).status == 200
    except OSError:
        return False


# -- workers ---------------------------------------------------------------------------


def test_a_killed_worker_hurts_only_what_it_had_in_hand(node: Node) -> None:
    """FAULTS 1."""
    node.load(1)
    node.start()
    (pid,) = node.worker_pids("one")
    took = []
    with Load(("127.0.0.1", node.port), ["b"], threads=2) as others:
        until(lambda: others.asked > 200)
        for _ in range(3):
            send_signal(pid, signal.SIGKILL)
            started = monotonic()
            until(lambda: answered(node, "a"), 5, "a successor")
            took.append(monotonic() - started)
            until(node.is_serving)
            (successor,) = node.worker_pids("one")
            assert successor != pid
            pid = successor
    print(f"successor served after {', '.join(f'{s * 1000:.0f}' for s in took)} ms (bar 300; the second on backs off)")
    print(f"other compartment: {others.summary()}")
    assert took[0] <= 2
    assert others.failures == []


def test_of_two_workers_one_killed_under_load(node: Node) -> None:
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    threads = 6
    with Load(("127.0.0.1", node.port), ["a"], threads) as load:
        until(lambda: load.asked > 500)
        send_signal(node.worker_pids("one")[0], signal.SIGKILL)
        until(lambda: not node.is_serving() or load.failures)
        until(node.is_serving)
        seen = load.asked
        until(lambda: load.asked > seen + 500)
    print(load.summary())
    assert len(load.failures) <= threads, "one request in flight per connection at most"


def test_a_hung_worker_is_taken_out_then_replaced(tmp_path: Path) -> None:
    """FAULTS 2."""
    with Node(tmp_path, patience=Patience(hung_s=3.0)) as node:
        node.compartments["one"]["workers"] = {"min": 2, "max": 2}
        node.load(1)
        node.start()
        hung, other = node.worker_pids("one")
        send_signal(hung, signal.SIGSTOP)
        started = monotonic()
        until(lambda: "silent" in {w["state"] for w in node.workers("one")}, 3)
        noticed = monotonic() - started
        until(lambda: all(answered(node, "a", 0.3) for _ in range(10)), 1, "nothing new goes there")
        until(lambda: hung not in node.worker_pids("one"), 5)
        replaced = monotonic() - started
        until(node.is_serving)
        assert other in node.worker_pids("one")
        print(f"out of the peers after {noticed:.2f} s, ended after {replaced:.2f} s of at most 3")
        assert noticed <= 1.6
        assert gone(hung)


def test_a_supervisor_that_was_stopped_itself_kills_nobody(tmp_path: Path) -> None:
    """It heard nothing because it did not listen."""
    with Node(tmp_path, patience=Patience(silent_s=0.5, hung_s=0.7)) as node:
        node.load(1)
        node.start()
        before = (*node.worker_pids(), node.gate_pid())
        assert node.supervisor is not None
        with Load(("127.0.0.1", node.port), ["a", "b"], gap_s=0.002) as load:
            node.supervisor.send_signal(signal.SIGSTOP)
            pause(1.5)
            node.supervisor.send_signal(signal.SIGCONT)
            until(node.is_serving)
            seen = load.asked
            until(lambda: load.asked > seen + 200)
        assert (*node.worker_pids(), node.gate_pid()) == before
        assert load.failures == []


def test_a_healthy_sibling_does_not_clear_a_crash_loops_record(node: Node) -> None:
    node.compartments = {"one": {"business": "test", "workers": {"min": 2, "max": 2}}}
    node.services = {}
    node.write()

    async def run() -> None:
        supervisor = Supervisor(node.config, ["false"])
        await supervisor.start()
        try:
            assert await supervisor.until_serving(20)
            fleet = supervisor.fleet
            healthy, _ = fleet.workers()
            healthy.started_s -= 3600
            fleet._restarts["one"] = Restarts(5)
            fleet.hear(Report(healthy.name, healthy.pid, 1, 1, ready=True))
            assert fleet._restarts["one"] == Restarts(5)
        finally:
            supervisor.stop()
            await supervisor.run()

    uvloop.run(run())


# -- the gate --------------------------------------------------------------------------


def test_a_killed_gate_hurts_nobody(node: Node) -> None:
    """FAULTS 4: established connections unhurt, queued ones served by its successor."""
    node.load(1)
    node.start()
    gate = node.gate_pid()
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=2) as load:
        until(lambda: load.asked > 200)
        send_signal(gate, signal.SIGSTOP)
        queued = [node.client() for _ in range(100)]
        for client in queued:
            client.send(request("a"))
        send_signal(gate, signal.SIGKILL)
        started = monotonic()
        assert queued[0].answer().status == 200
        took = monotonic() - started
        assert all(client.answer().status == 200 for client in queued[1:])
        for client in queued:
            client.sock.close()
        until(node.is_serving)
        assert node.gate_pid() != gate
        seen = load.asked
        until(lambda: load.asked > seen + 200)
    print(f"gate back after {took * 1000:.0f} ms (bar 1000); {load.summary()}")
    assert took <= 3
    assert load.failures == []


def test_a_gate_killed_again_and_again_comes_back(node: Node) -> None:
    node.load(1)
    node.start()
    for _ in range(4):
        send_signal(node.gate_pid(), signal.SIGKILL)
        until(lambda: answered(node, "b"), 10)
        until(node.is_serving)


# -- the end ---------------------------------------------------------------------------


def test_stopped_while_starting_nothing_is_left(node: Node) -> None:
    node.compartments = {f"c{n}": {"business": "test", "workers": {"min": 2, "max": 2}} for n in range(3)}
    node.services = {}
    for delay in (0.0, 0.05, 0.3):
        node.start(serving=False)
        assert node.supervisor is not None
        mine = psutil.Process(node.supervisor.pid)
        until(mine.children)
        pause(delay)
        node.remember()
        started = monotonic()
        assert node.stop() == 0
        assert monotonic() - started < 8
        assert leftovers(node) == []


def replaced(node: Node, pid: int) -> bool:
    return pid not in node.worker_pids("one")


def leftovers(node: Node) -> list[int]:
    """Processes of this node that still run."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(node.data_dir) in part for part in process.info["cmdline"] or []):
            found.append(process.pid)
    return found


def test_stopped_while_a_worker_is_about_to_be_restarted_nothing_is_left(node: Node) -> None:
    node.start()
    for attempt in range(4):  # the later ones wait before they come back
        (pid,) = node.worker_pids("one")
        send_signal(pid, signal.SIGKILL)
        until(partial(replaced, node, pid))
        if attempt < 3:
            until(node.is_serving)
    assert node.stop() == 0
    assert leftovers(node) == []


def test_an_idle_client_of_a_retired_worker_is_not_hung_up_on(node: Node) -> None:
    """FAULTS 6: scaled in, its idle connections go to who stays."""
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    idle = [node.client() for _ in range(20)]
    for client in idle:
        assert client.get("a").status == 200
    node.compartments["one"]["workers"] = {"min": 1, "max": 2}
    node.write()
    assert node.supervisor is not None
    node.supervisor.send_signal(signal.SIGHUP)
    until(lambda: len(node.workers("one")) == 1)
    for client in idle:
        assert client.get("a").status == 200
        client.sock.close()


def test_tasks_do_not_outlive_the_fleet(node: Node) -> None:
    node.services = {}
    node.write()

    async def run() -> None:
        supervisor = Supervisor(node.config, ["false"])
        await supervisor.start()
        assert await supervisor.until_serving(20)
        supervisor.fleet.retire(supervisor.fleet.workers()[0])
        supervisor.stop()
        await supervisor.run()
        mine = {asyncio.current_task()}
        assert asyncio.all_tasks() == mine

    uvloop.run(run())


def test_who_has_only_connected_loses_nothing_with_the_gate(node: Node) -> None:
    """FAULTS 4: the kernel has those that have not spoken yet."""
    node.load(1)
    node.start()
    silent = [node.client() for _ in range(50)]
    gate = node.gate_pid()
    send_signal(gate, signal.SIGKILL)
    until(lambda: node.status()["gate"]["pids"] != [gate])
    for client in silent:
        assert client.get("a").status == 200
        client.sock.close()
