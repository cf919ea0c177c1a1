"""Who is put where: without control groups, with some that only remember, and in real nodes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import structs

from compartments.machine.cgroups import Groups, Want
from compartments.machine.isolation import WITHOUT_GROUPS, Isolation, prefix
from havok.settings import CompartmentSettings, ExecutorSettings, WorkerCount
from tests.compartments.deadline import until
from tests.compartments.machines import machine
from tests.compartments.node import Node

CORES = sorted(os.sched_getaffinity(0))
Start = Callable[[], int]

several = pytest.mark.skipif(len(CORES) < 2, reason="one core cannot be shared out")


class Remembered(Groups):
    def __init__(self) -> None:
        super().__init__(2, {"cpu": Path("/none")}, "havok.x.y")
        self.wanted: dict[str, Want] = {}
        self.inside: dict[str, list[int]] = {}
        self.closed = False

    def shape(self, name: str, want: Want) -> list[str]:
        if name != "node.aside":
            self.wanted[name] = want
        return ["/none: no"]

    def weigh(self, name: str, want: Want) -> list[str]:
        self.wanted[name] = structs.replace(self.wanted[name], weight=want.weight, gives_way=want.gives_way)
        return []

    def can_give_way(self, name: str) -> bool:
        return True

    def take(self, name: str, pids: Iterable[int]) -> list[str]:
        self.inside.setdefault(name, []).extend(pids)
        return []

    def free(self, pids: Iterable[int]) -> list[str]:
        for pid in pids:
            for inside in self.inside.values():
                if pid in inside:
                    inside.remove(pid)
        return []

    def keep(self, names: Iterable[str]) -> None:
        self.wanted = {name: want for name, want in self.wanted.items() if name in set(names)}

    def close(self) -> bool:
        self.closed = True
        return True


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[subprocess.Popen[bytes]] = []

    def begin() -> int:
        children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return children[-1].pid

    yield begin
    for child in children:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def compartment(workers: int = 1, **more: Any) -> CompartmentSettings:
    return CompartmentSettings("test", workers=WorkerCount(workers, workers), **more)


def cpus(pid: int) -> list[int]:
    return sorted(os.sched_getaffinity(pid))


def test_groups_are_shaped_for_all_workers_of_a_compartment(tmp_path: Path) -> None:
    groups = Remembered()
    made = Isolation("n", tmp_path, machine(4), groups)
    version = tmp_path / "datasets" / "d" / "v"
    version.mkdir(parents=True)
    (version / "rows.mdb").write_bytes(b"x" * 1000)
    executors = ExecutorSettings(processes=2, memory_mb=100)
    made.place(
        {
            "one": compartment(3, priority="high", cores=2, memory_mb=200, executors=executors),
            "two": compartment(priority="low"),
        },
        {"one": 3, "two": 2},
    )
    memory = 3 * (200 + 2 * (2 * 100 + 384)) * 1024 * 1024 + 2 * 1000
    assert groups.wanted == {"one": Want(300, "0-1", memory), "two": Want(20, "2-3", None)}
    made.place({"two": compartment(cpus=(1,))}, {})
    assert groups.wanted == {"two": Want(33, "1", None)}
    made.close()
    assert groups.closed


def test_it_says_what_is_in_force(tmp_path: Path) -> None:
    made = Isolation("n", tmp_path, machine(1), Remembered())
    made.place({"one": compartment(cores=1, priority="high"), "two": compartment()}, {})
    assert made.describe("one") == {
        "isolation": "cgroup v2", "controllers": ["cpu"], "gives_way": False,
        "notes": ["it shares cpus 0 with two; there are fewer cores than compartments"],
    }  # fmt: skip
    assert made.describe("unheard of")["notes"] == []


def test_who_shares_cores_with_a_higher_one_can_give_way(tmp_path: Path) -> None:
    groups = Remembered()
    made = Isolation("n", tmp_path, machine(2), groups)
    settings = {
        "one": compartment(priority="high", cpus=(0,)),
        "two": compartment(cpus=(0,)),
        "three": compartment(priority="low", cpus=(1,)),
    }
    made.place(settings, {})
    assert made.sharers == {"two"}
    made.give_way(made.sharers)
    assert [name for name, want in groups.wanted.items() if want.gives_way] == ["two"]
    assert made.describe("two")["gives_way"]
    made.place(settings, {"two": 2})
    assert groups.wanted["two"] == Want(66, "0", None, gives_way=True), "and goes on to"
    made.give_way(frozenset())
    assert not groups.wanted["two"].gives_way
    made.give_way(frozenset({"two"}))
    made.place({**settings, "two": compartment(cpus=(1,))}, {})
    assert (made.sharers, groups.wanted["two"].gives_way) == ({"three"}, False)


def test_who_starts_is_aside_until_it_is_confined_or_released(tmp_path: Path, start: Start) -> None:
    groups = Remembered()
    made = Isolation("n", tmp_path, groups=groups)
    made.place({"one": compartment()}, {})
    made.prime()
    worker, gate = start(), start()
    made.set_aside(worker)
    made.set_aside(gate)
    assert groups.inside == {"node.aside": [worker, gate]}
    made.confine(worker, "one-1", "one")
    made.release(gate)
    assert groups.inside == {"node.aside": [worker], "one": [worker]}, "the kernel has it in the one it came to last"


def test_what_is_refused_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Isolation("n", tmp_path, machine(1), Remembered())
    for _ in range(3):
        made.place({"one": compartment()}, {})
    assert [record.message for record in caplog.records if "refused" in record.message] == [
        "a limit was refused: /none: no"
    ]


def test_nodes_of_one_name_have_groups_of_their_own(tmp_path: Path) -> None:
    assert prefix("n", tmp_path / "a") != prefix("n", tmp_path / "b")
    assert prefix("n", tmp_path) == prefix("n", tmp_path / "a" / "..")


@several
def test_each_worker_has_its_place_and_a_successor_takes_it(tmp_path: Path, start: Start) -> None:
    first, second = CORES[:2]
    made = Isolation("n", tmp_path, groups=Remembered())
    settings = {"one": compartment(2, cpus=(first, second))}
    made.place(settings, {"one": 2})
    a, b = start(), start()
    made.confine(a, "one-1", "one")
    made.confine(b, "one-2", "one")
    assert (cpus(a), cpus(b)) == ([first], [second])
    made.forget("one-1")
    c = start()
    made.confine(c, "one-3", "one")
    assert cpus(c) == [first]
    made.confine(c, "one-3", "one")
    assert (cpus(b), cpus(c)) == ([second], [first]), "and it keeps it"


@several
def test_one_that_came_before_its_predecessor_went_moves_to_the_place_left(tmp_path: Path, start: Start) -> None:
    """As in a rolling restart."""
    made = Isolation("n", tmp_path, groups=Remembered())
    made.place({"one": compartment(2, cpus=tuple(CORES[:2]))}, {"one": 2})
    pids = [start() for _ in range(3)]
    for number, pid in enumerate(pids):
        made.confine(pid, f"one-{number}", "one")
    assert [cpus(pid) for pid in pids] == [[CORES[0]], [CORES[1]], [CORES[0]]]
    made.forget("one-1")
    assert cpus(pids[2]) == [CORES[1]]
    made.forget("one-0")
    assert cpus(pids[2]) == [CORES[1]], "nobody shares a place: nobody moves"


@several
def test_threads_and_children_move_along(tmp_path: Path) -> None:
    groups = Remembered()
    made = Isolation("n", tmp_path, groups=groups)
    code = (
        "import subprocess, sys, threading; threading.Thread(target=input).start();"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        made.place({"one": compartment(cpus=(CORES[0],))}, {})
        made.confine(parent.pid, "one-1", "one")
        child = int(parent.stdout.readline())
        made.place({"one": compartment(cpus=(CORES[1],))}, {})
        made.confine(parent.pid, "one-1", "one")
        threads = [int(task.name) for task in Path(f"/proc/{parent.pid}/task").iterdir()]
        assert len(threads) > 1
        assert [cpus(thread) for thread in (*threads, child)] == [[CORES[1]]] * (len(threads) + 1)
        assert groups.inside["one"] == [parent.pid, parent.pid, child]
        psutil.Process(child).kill()


def test_a_process_that_has_ended_is_nobodys_fault(tmp_path: Path) -> None:
    made = Isolation("n", tmp_path, groups=Remembered())
    made.place({"one": compartment()}, {})
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    made.confine(child.pid, "one-1", "one")
    made.confine(child.pid, "one-1", "one")
    made.forget("one-1")
    made.forget("never there")
    made.confine(child.pid, "two-1", "unheard of")


# -- nodes -------------------------------------------------------------------------------


@several
def test_a_node_shares_its_cores_out_and_says_so(node: Node) -> None:
    node.compartments["one"] |= {"priority": "high", "cores": 1}
    node.compartments["two"] |= {"priority": "low", "cores": 0.5}
    node.start()
    found = node.status()["compartments"]
    mine = set(found["one"]["workers"][0]["cpus"])
    assert mine
    assert not mine & set(found["two"]["workers"][0]["cpus"])
    for name in ("one", "two"):
        assert found[name]["isolation"] in ("cgroup v2", "cgroup v1", WITHOUT_GROUPS)
        for worker in found[name]["workers"]:
            assert worker["cpus"] == cpus(worker["pid"])
            if found[name]["controllers"]:
                assert f"{prefix('local', node.data_dir)}.{name}" in Path(f"/proc/{worker['pid']}/cgroup").read_text()
    assert node.supervisor is not None
    node.compartments["one"]["cores"] = len(CORES) + 1
    node.write()
    node.supervisor.send_signal(signal.SIGHUP)

    def told() -> bool:
        notes = node.status()["compartments"]["one"]["notes"]
        return any(note.endswith("cores it asks for") for note in notes)

    until(told, what="it cannot have all")


def test_at_its_end_a_node_leaves_no_group(node: Node) -> None:
    node.start()
    assert node.stop() == 0
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{prefix('local', node.data_dir)}.*"))
