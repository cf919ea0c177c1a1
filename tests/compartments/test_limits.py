"""Cores, memory and precedence of real workers, and how they change."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.compartments.deadline import until
from tests.compartments.node import Node


def test_a_memory_limit_is_set_and_lifted(node: Node) -> None:
    node.compartments["one"]["memory_mb"] = 300
    node.load(1)
    node.start()
    (pid,) = node.worker_pids("one")

    def limit() -> int:
        return int(psutil.Process(pid).rlimit(psutil.RLIMIT_DATA)[0])

    assert limit() == 300 << 20
    del node.compartments["one"]["memory_mb"]
    node.write()
    assert node.supervisor is not None
    node.supervisor.send_signal(signal.SIGHUP)
    until(lambda: limit() != 300 << 20, what="the limit is lifted")
    assert node.worker_pids("one") == [pid]


def test_cores_and_niceness_follow_the_compartment(node: Node) -> None:
    core = sorted(os.sched_getaffinity(0))[-1]
    node.compartments["one"] |= {"cpus": [core], "priority": "high"}
    node.compartments["two"] |= {"priority": "low"}
    node.start()
    (one,), (two,) = node.worker_pids("one"), node.worker_pids("two")
    assert psutil.Process(one).cpu_affinity() == [core]
    assert psutil.Process(one).nice() == 0
    assert psutil.Process(two).nice() == 10
    assert node.workers("one")[0]["cpus"] == [core]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not schedule by session")
def test_niceness_counts_between_compartments(node: Node) -> None:
    """Workers lead sessions of their own, and where those are scheduled, a process's niceness alone means nothing."""
    node.compartments["one"]["priority"] = "high"
    node.compartments["two"]["priority"] = "low"
    node.start()
    (one,), (two,) = node.worker_pids("one"), node.worker_pids("two")

    def weight(pid: int) -> int:
        return int(Path(f"/proc/{pid}/autogroup").read_text().rpartition(" ")[2])

    until(lambda: weight(two) == 10, what="the session yields like the process")
    assert weight(one) == 0
    node.compartments["two"]["priority"] = "medium"
    node.write()
    assert node.supervisor is not None
    node.supervisor.send_signal(signal.SIGHUP)
    until(lambda: weight(two) == 5, what="and follows its priority")
