"""A low worker on the core of a high one: it gives way, until it starves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compartments.client import Load
from tests.compartments.deadline import until
from tests.compartments.node import Node


@pytest.fixture
def shared(node: Node) -> Node:
    core = sorted(os.sched_getaffinity(0))[0]
    node.compartments["one"] |= {"priority": "high", "cpus": [core]}
    node.compartments["two"] |= {"priority": "low", "cpus": [core]}
    node.load(1)
    node.start()
    if "cpu" not in node.status()["compartments"]["two"]["controllers"]:
        pytest.skip("the processor's control groups are not ours here")
    return node


def idle(node: Node) -> str:
    (pid,) = node.worker_pids("two")
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    group = next(path for _, key, path in (line.split(":", 2) for line in lines) if "cpu" in key.split(",") or not key)
    for place in (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"), Path("/sys/fs/cgroup")):
        file = Path(f"{place}{group}") / "cpu.idle"
        if file.exists():
            return file.read_text().strip()
    pytest.skip("this kernel has no idle groups")


def gives_way(node: Node) -> dict[str, bool]:
    return {name: found["gives_way"] for name, found in node.status()["compartments"].items()}


def test_it_gives_way_until_it_starves(shared: Node) -> None:
    until(lambda: idle(shared) == "1", what="the low one gives way")
    assert gives_way(shared) == {"one": False, "two": True}
    (before,) = shared.worker_pids("two")
    core = sorted(os.sched_getaffinity(0))[0]
    spin = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], start_new_session=True) as crowd:
        try:
            with Load(("127.0.0.1", shared.port), ["b"], threads=4) as load:
                until(lambda: idle(shared) == "0", 10, "it has its weight back")
                asked = load.asked
                until(lambda: load.asked > asked + 20, 10, "and is served")
            assert load.failures == []
        finally:
            crowd.kill()
    assert shared.worker_pids("two") == [before], "nobody took it for hung"


def test_who_is_alone_on_a_core_gives_way_to_nobody(shared: Node) -> None:
    until(lambda: gives_way(shared)["two"])
    del shared.compartments["two"]["cpus"]
    shared.compartments["two"]["priority"] = "high"
    shared.write()
    assert shared.supervisor is not None
    shared.supervisor.send_signal(signal.SIGHUP)
    until(lambda: gives_way(shared) == {"one": False, "two": False})
    until(lambda: idle(shared) == "0", what="and has its weight")
