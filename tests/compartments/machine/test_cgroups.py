"""Control groups: on trees that stand for a kernel's, and on this machine's own where it lets us."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compartments.machine import cgroups
from compartments.machine.cgroups import Found, Groups, Want, find

WANT = Want(33, "0-1", 300 << 20)
PREFIX = "havok.test.0000abcd"


class Kernel:
    """A machine's mounts and our place in them, in a directory. Files are only files: they do what is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.proc = path / "proc"
        self.proc.mkdir()
        self._mounts: list[str] = []
        self._paths: list[str] = []
        self._write()

    def _write(self) -> None:
        (self.proc / "mountinfo").write_text("\n".join(["24 1 8:1 / / rw - ext4 /dev/sda rw", *self._mounts]))
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in self._paths))

    def second(self, own: str = "/", *, root: str = "/", controllers: str = "cpuset cpu io memory") -> Path:
        """Mounts version 2; our group's directory."""
        point = self.path / "unified"
        self._mounts.append(f"30 24 0:26 {root} {point} rw shared:4 - cgroup2 cgroup2 rw")
        self._paths.append(f"0::{own}")
        self._write()
        place = point / os.path.relpath(own, root)
        place.mkdir(parents=True)
        for directory in {place, place.parent}:
            if directory.is_relative_to(point):
                (directory / "cgroup.controllers").write_text(controllers + "\n")
                (directory / "cgroup.procs").write_text("")
        return place

    def first(self, controllers: str, own: str = "/", *, root: str = "/") -> Path:
        """Mounts a hierarchy of version 1."""
        point = self.path / controllers
        self._mounts.append(f"3{len(self._mounts)} 24 0:27 {root} {point} rw - cgroup cgroup rw,{controllers}")
        self._paths.append(f"{len(self._mounts)}:{controllers}:{own}")
        self._write()
        place = point / os.path.relpath(own, root)
        place.mkdir(parents=True)
        (place / "cpuset.mems").write_text("0\n")
        return place

    def find(self) -> Found:
        return find(PREFIX, self.proc)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return Kernel(tmp_path)


def rmdir(path: Path) -> None:
    """As the kernel has it: a group with processes stays, its own files do not matter."""
    if (path / "cgroup.procs").exists() and (path / "cgroup.procs").read_text().strip():
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    shutil.rmtree(path)


def delegate(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    def getxattr(path: Any, name: str) -> bytes:
        if Path(path) in places and name == "trusted.delegate":
            return b"1"
        raise OSError(errno.ENODATA, "none")

    monkeypatch.setattr(os, "getxattr", getxattr)


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(directory.iterdir())}


# -- what is taken ---------------------------------------------------------------------


def test_version_2_of_a_container(kernel: Kernel) -> None:
    place = kernel.second("/docker/x", root="/docker/x")
    kernel.first("memory")
    found = kernel.find()
    assert found.why == ()
    assert found.groups is not None
    assert (found.groups.version, found.groups.controllers) == (2, ("cpu", "cpuset", "memory"))
    assert (place / "cgroup.subtree_control").exists()
    assert found.groups.shape("one", WANT) == []
    assert found.groups.take("one", [17]) == []
    assert contents(place / f"{PREFIX}.one") == {
        "cgroup.procs": "17", "cpu.weight": "33", "cpuset.cpus": "0-1", "memory.max": str(300 << 20),
    }  # fmt: skip
    found.groups.shape("one", Want(100, "1", None))
    assert contents(place / f"{PREFIX}.one")["memory.max"] == "max"
    assert (found.groups.free([17]), (place / "cgroup.procs").read_text()) == ([], "17")


def test_a_group_that_gives_way_has_no_weight(kernel: Kernel) -> None:
    place = kernel.second("/docker/x", root="/docker/x")
    groups = kernel.find().groups
    assert groups is not None
    group = place / f"{PREFIX}.one"
    groups.shape("one", msgspec.structs.replace(WANT, gives_way=True))
    assert contents(group)["cpu.weight"] == "33", "before Linux 5.15"
    (group / "cpu.idle").write_text("0")
    (group / "cpu.weight").unlink()
    groups.shape("one", msgspec.structs.replace(WANT, gives_way=True))
    assert contents(group)["cpu.idle"] == "1"
    assert "cpu.weight" not in contents(group), "the kernel refuses one then"
    groups.shape("one", WANT)
    assert (contents(group)["cpu.idle"], contents(group)["cpu.weight"]) == ("0", "33")


def test_version_1_each_hierarchy_by_itself(kernel: Kernel) -> None:
    processor, sets = kernel.first("cpu,cpuacct"), kernel.first("cpuset")
    memory = kernel.first("memory", "/somebody/elses")
    kernel.second(controllers="hugetlb")
    found = kernel.find()
    assert found.groups is not None
    assert (found.groups.version, found.groups.controllers) == (1, ("cpu", "cpuset"))
    assert found.why == (
        "cgroup v2: the controller of processors is not here", "cgroup v1 memory: our group was not delegated to us",
    )  # fmt: skip
    assert found.groups.shape("one", WANT) == []
    assert found.groups.take("one", [17]) == []
    assert contents(processor / f"{PREFIX}.one") == {"cgroup.procs": "17", "cpu.shares": "337"}
    assert contents(sets / f"{PREFIX}.one") == {"cgroup.procs": "17", "cpuset.cpus": "0-1", "cpuset.mems": "0"}
    assert [path.name for path in memory.iterdir()] == ["cpuset.mems"], "nothing was made in another's group"


def test_memory_of_version_1(kernel: Kernel) -> None:
    place = kernel.first("memory")
    groups = kernel.find().groups
    assert groups is not None
    groups.shape("one", WANT)
    assert contents(place / f"{PREFIX}.one") == {"memory.limit_in_bytes": str(300 << 20)}
    groups.shape("one", Want(1, "0", None))
    assert contents(place / f"{PREFIX}.one") == {"memory.limit_in_bytes": "-1"}


def test_without_any(kernel: Kernel) -> None:
    assert kernel.find() == Found(None, ())
    shutil.rmtree(kernel.proc)
    assert kernel.find() == Found(None, ("control groups: No such file or directory",))


def test_a_group_of_another_manager_is_left_alone(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    place = kernel.second("/system.slice/cron.service")
    assert kernel.find() == Found(None, ("cgroup v2: our group was not delegated to us",))
    assert not (place / "cgroup.subtree_control").exists()


def test_a_delegated_group(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kernel.second("/system.slice/havok.service")
    delegate(monkeypatch, place)
    groups = kernel.find().groups
    assert groups is not None
    groups.shape("one", WANT)
    assert (place / f"{PREFIX}.one").is_dir()


def test_a_group_of_our_users(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kernel.second("/user.slice/us")
    delegate(monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert kernel.find().groups is None
    real = Path.stat

    def stat(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        return os.stat_result([*found[:4], 1000, *found[5:10]]) if path == place else found

    monkeypatch.setattr(Path, "stat", stat)
    assert kernel.find().groups is not None
    (place / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert kernel.find().groups is not None
    (place / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    assert kernel.find().groups is None, "his shell is in it, too"


def test_a_subgroup_that_systemd_put_us_in(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """DelegateSubgroup=: ours is the group around it, and nobody has to move."""
    place = kernel.second("/system.slice/havok.service/main")
    (place / "cgroup.procs").write_text("1\n")
    delegate(monkeypatch, place.parent)
    groups = kernel.find().groups
    assert groups is not None
    groups.shape("one", WANT)
    assert (place.parent / f"{PREFIX}.one").is_dir()
    assert groups.free([17]) == []
    assert (place / "cgroup.procs").read_text() == "17", "where we are: the group around it may hold no process"
    assert (place.parent / "cgroup.procs").read_text() != "17"


@pytest.mark.parametrize(("own", "root"), [("/a/b", "/c"), ("/../x", "/")])
def test_a_place_that_is_not_to_be_seen(kernel: Kernel, own: str, root: str) -> None:
    kernel.second(own, root=root)
    assert kernel.find().groups is None


def test_a_directory_that_takes_no_group(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.second()

    def mkdir(path: Path, **_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert kernel.find() == Found(None, ("cgroup v2: Read-only file system",))


# -- processes beside groups -------------------------------------------------------------


@pytest.fixture
def strict(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Version 2 as it is: no controllers for groups beside processes, and a process is in one group."""
    write, place = Path.write_text, kernel.second("/us", root="/us")
    write(place / "cgroup.procs", "11\n12\n")

    def write_text(path: Path, value: str, *more: Any) -> int:
        if path.name == "cgroup.subtree_control" and value[:1] == "+" and (place / "cgroup.procs").read_text().split():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if path.name == "cgroup.procs":
            for other in place.rglob("cgroup.procs"):
                write(other, "".join(f"{pid}\n" for pid in other.read_text().split() if pid != value))
            there = path.read_text() if path.exists() else ""
            return write(path, f"{there}{value}\n")
        return write(path, value, *more)

    monkeypatch.setattr(Path, "write_text", write_text)
    return kernel


def test_processes_beside_groups_move_into_one_of_their_own_and_back(strict: Kernel) -> None:
    place = strict.path / "unified"
    groups = strict.find().groups
    assert groups is not None
    assert groups.controllers == ("cpu", "cpuset", "memory")
    assert (place / "cgroup.procs").read_text() == ""
    assert (place / f"{PREFIX}.node.own" / "cgroup.procs").read_text() == "11\n12\n"
    groups.shape("one", WANT)
    groups.take("one", [12])
    assert (place / f"{PREFIX}.node.own" / "cgroup.procs").read_text() == "11\n"
    groups.keep(["one"])
    assert not groups.close()
    assert (place / f"{PREFIX}.one").is_dir(), "somebody is in it"
    assert (place / "cgroup.procs").read_text() == "11\n"
    assert not (place / f"{PREFIX}.node.own").exists()


def test_where_nothing_can_be_switched_on_everybody_stays(strict: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path, wanted: list[str]) -> dict[str, OSError]:
        return {name: OSError(errno.EBUSY, os.strerror(errno.EBUSY)) for name in wanted}

    monkeypatch.setattr(cgroups, "_switch_on", refuse)
    found = strict.find()
    assert found.groups is None
    assert found.why[0] == "cgroup v2 cpu: Device or resource busy"
    place = strict.path / "unified"
    assert (place / "cgroup.procs").read_text() == "11\n12\n"
    assert not list(place.glob("havok*"))


# -- their end, and refusals -------------------------------------------------------------


def test_only_groups_of_ours_that_are_empty_go(kernel: Kernel) -> None:
    place = kernel.first("cpu")
    groups = kernel.find().groups
    assert groups is not None
    for name in ("one", "two", "three"):
        groups.shape(name, WANT)
    groups.take("three", [5])
    (place / "havok.test.ffff0000.one").mkdir()
    (place / "system.slice").mkdir()
    groups.keep(["two"])
    assert sorted(path.name for path in place.glob("*") if path.is_dir()) == [
        "havok.test.0000abcd.three", "havok.test.0000abcd.two", "havok.test.ffff0000.one", "system.slice",
    ]  # fmt: skip
    (place / f"{PREFIX}.three" / "cgroup.procs").write_text("")
    assert groups.close()
    assert len([path for path in place.glob("*") if path.is_dir()]) == 2


def test_what_is_refused_is_said(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kernel.first("cpu")
    groups = kernel.find().groups
    assert groups is not None
    shutil.rmtree(place)
    directory = place / f"{PREFIX}.one"
    assert groups.shape("one", WANT) == [
        f"{directory}: No such file or directory", f"{directory}/cpu.shares: No such file or directory",
    ]  # fmt: skip
    assert groups.take("one", [1]) == [f"{directory}/cgroup.procs: No such file or directory"]

    def gone(*_: Any) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(Path, "write_text", gone)
    assert groups.take("one", [1]) == [], "a process that has ended is nobody's fault"


# -- this machine ------------------------------------------------------------------------


@pytest.fixture
def real() -> Iterator[Groups]:
    found = find(f"havok.pytest.{os.getpid():08x}")
    if found.groups is None:
        pytest.skip(f"no control groups of ours here: {'; '.join(found.why)}")
    yield found.groups
    found.groups.close()


def test_a_real_process_in_a_real_group(real: Groups) -> None:
    core = min(os.sched_getaffinity(0))
    assert real.shape("one", Want(10, str(core), None)) == []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert real.take("one", [child.pid]) == []
        where = Path(f"/proc/{child.pid}/cgroup").read_text()
        assert where.count(f"/{real.prefix}.one\n") == (len(real.controllers) if real.version == 1 else 1)
        if "cpuset" in real.controllers:
            assert os.sched_getaffinity(child.pid) == {core}
        real.keep([])
        assert f"{real.prefix}.one" in Path(f"/proc/{child.pid}/cgroup").read_text(), "it stays while somebody is in it"
    assert real.shape("one", Want(10_000, str(core), None)) == [], "the most there is"
    assert real.take("one", [child.pid]) == []
    real.close()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{real.prefix}.*"))
