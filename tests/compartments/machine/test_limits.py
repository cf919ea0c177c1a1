"""Cores, memory and precedence of real workers, and how they change."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from compartments.machine.limits import limit, rank_session
from havok.settings import CompartmentSettings
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


def test_open_files_are_limited_and_the_limit_is_lifted(node: Node) -> None:
    node.compartments["one"]["fds"] = 300
    node.load(1)
    node.start()
    (one,), (two,) = node.worker_pids("one"), node.worker_pids("two")
    hard = psutil.Process(two).rlimit(psutil.RLIMIT_NOFILE)[1]

    def limits(pid: int) -> tuple[int, int]:
        return psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)

    assert limits(one) == (300, hard)
    assert limits(two) == (hard, hard)
    with node.client() as client:
        assert client.get("a").status == 200
    del node.compartments["one"]["fds"]
    node.write()
    assert node.supervisor is not None
    node.supervisor.send_signal(signal.SIGHUP)
    until(lambda: limits(one) == (hard, hard), what="the limit is lifted")


def test_when_memory_ends_low_ones_go_first(node: Node) -> None:
    node.compartments["one"]["priority"] = "high"
    node.compartments["two"]["priority"] = "low"
    node.compartments["three"] = {"business": "test"}
    node.start()
    ours = int(Path("/proc/self/oom_score_adj").read_text())

    def score(compartment: str) -> int:
        (pid,) = node.worker_pids(compartment)
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text()) - ours

    assert (score("one"), score("three"), score("two")) == (0, 150, 300)


def test_a_limit_that_is_refused_keeps_no_other_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    core = min(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        limit(child.pid, CompartmentSettings("test", "low", memory_mb=100), "it", [core])
        assert os.sched_getaffinity(child.pid) == {core}
        assert psutil.Process(child.pid).rlimit(psutil.RLIMIT_DATA)[0] == 100 << 20
        score = int(Path(f"/proc/{child.pid}/oom_score_adj").read_text())
        assert score == int(Path("/proc/self/oom_score_adj").read_text()) + 300
    assert [record.message for record in caplog.records] == [
        "it keeps its niceness as it is: [Errno 1] Operation not permitted"
    ]


def test_a_weight_that_was_overtaken_is_not_set_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes ten a second: an older wish that waits its turn must not win over a newer one."""
    asked: list[int] = []
    wanted = 15

    def weigh(_pid: int, nice: int) -> None:
        nonlocal wanted
        asked.append(nice)
        if len(asked) == 1:
            wanted = 0
            raise BlockingIOError

    monkeypatch.setattr("compartments.machine.limits._weigh", weigh)
    monkeypatch.setattr("compartments.machine.limits._TRY_AGAIN_S", 0)

    async def run() -> None:
        await rank_session(1, 15, "one-1", lambda: wanted == 15)
        await rank_session(1, 0, "one-1", lambda: wanted == 0)

    asyncio.run(run())
    assert asked == [15, 0]
