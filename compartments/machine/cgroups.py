"""Control groups: what the kernel lets us share out, and a group for each compartment.

Rule: only in a subtree that is ours. That is one whose manager delegated it to us (systemd's
`Delegate=yes` marks it so), one of our user's in which we are alone, and one that is all there
is to see, as in a container of its own. In another manager's group nothing is made: he kills
and counts by what he finds there.

Version 2 is taken where it has the processor's controller; then version 1, each hierarchy that
is ours by itself; else there is none. A file that cannot be written is told to the caller.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

log = logging.getLogger(__name__)

Version = Literal[1, 2]

CONTROLLERS = ("cpu", "cpuset", "memory")
PROC = Path("/proc/self")
WEIGHT_MAX = 10_000  # cgroup v2
_SHARES = 1024  # of version 1 that weigh as 100 does in version 2: a process of niceness 0
_IDLE = "cpu.idle"
_DELEGATED = ("user.delegate", "trusted.delegate")  # extended attributes, systemd.exec(5)
_OURS = "node.own"  # where processes stay that belong to no compartment: a group has groups or processes


class Want(msgspec.Struct, frozen=True):
    """What a group is to have; None: no limit."""

    weight: int  # 1 to WEIGHT_MAX; 100 is what others have
    cpus: str  # "0-2,5"
    memory_bytes: int | None
    gives_way: bool = False  # at once, to whoever else wants to run


class Groups:
    """Groups `<prefix>.<name>` in the directory of each controller."""

    def __init__(
        self,
        version: Version,
        places: dict[str, Path],
        prefix: str,
        joined: bool = False,
        own: Path | None = None,
    ) -> None:
        """`joined`: we moved into a group of our own and will move back. `own`: where we are, if not in `places`."""
        self.version = version
        self.prefix = prefix
        self._places = places
        self._joined = joined
        self._own = next(iter(places.values())) / f"{prefix}.{_OURS}" if joined else own

    @property
    def controllers(self) -> tuple[str, ...]:
        return tuple(name for name in CONTROLLERS if name in self._places)

    def _directories(self, name: str) -> list[Path]:
        return [place / f"{self.prefix}.{name}" for place in dict.fromkeys(self._places.values())]

    def shape(self, name: str, want: Want) -> list[str]:
        """Makes the group or changes it; what the system refused."""
        refused = []
        for directory in self._directories(name):
            try:
                directory.mkdir(exist_ok=True)
            except OSError as error:
                refused.append(f"{directory}: {error.strerror}")
        for controller, place in self._places.items():
            directory = place / f"{self.prefix}.{name}"
            for file, value in _values(self.version, controller, directory, want):
                refused += _write(directory / file, value)
        return refused

    def take(self, name: str, pids: Iterable[int]) -> list[str]:
        """Moves processes in; one that has ended meanwhile is nobody's fault."""
        return [
            word
            for pid in pids
            for directory in self._directories(name)
            for word in _write(directory / "cgroup.procs", str(pid))
        ]

    def free(self, pids: Iterable[int]) -> list[str]:
        """Back to where we are ourselves."""
        own = list(dict.fromkeys(self._places.values())) if self._own is None else [self._own]
        return [word for pid in pids for directory in own for word in _write(directory / "cgroup.procs", str(pid))]

    def weigh(self, name: str, want: Want) -> list[str]:
        """Changes no more than how the group shares the processor."""
        directory = self._places["cpu"] / f"{self.prefix}.{name}"
        values = _values(self.version, "cpu", directory, want)
        return [word for file, value in values for word in _write(directory / file, value)]

    def can_give_way(self, name: str) -> bool:
        """Whether this kernel has idle groups; since Linux 5.15."""
        return "cpu" in self._places and (self._places["cpu"] / f"{self.prefix}.{name}" / _IDLE).exists()

    def tasks(self, name: str) -> list[int]:
        """All threads of all processes in a group."""
        directory = self._places["cpu"] / f"{self.prefix}.{name}"
        return [int(task) for task in _read(directory / ("tasks" if self.version == 1 else "cgroup.threads")).split()]

    def keep(self, names: Iterable[str]) -> None:
        """Removes all other groups of ours that nobody is in."""
        kept = {f"{self.prefix}.{name}" for name in names}
        for place in set(self._places.values()):
            for directory in place.glob(f"{self.prefix}.*"):
                if directory.name not in kept:
                    with contextlib.suppress(OSError):  # somebody is in it; it goes next time
                        directory.rmdir()

    def close(self) -> bool:
        """Removes all of them; False when somebody is in one still, and it stays."""
        self.keep(())
        for place in set(self._places.values()) if self._joined else ():
            for controller in self.controllers:
                _write(place / "cgroup.subtree_control", f"-{controller}")
            _move_all(place / f"{self.prefix}.{_OURS}", place)
        self.keep(())
        return not any(True for place in set(self._places.values()) for _ in place.glob(f"{self.prefix}.*"))


class Found(msgspec.Struct, frozen=True):
    groups: Groups | None
    why: tuple[str, ...]  # what could not be had, and the reason


def find(prefix: str, proc: Path = PROC) -> Found:
    """What can be used here. `proc`: whose `mountinfo` and `cgroup` say where we are."""
    try:
        mounts = (proc / "mountinfo").read_text().splitlines()
        paths = (proc / "cgroup").read_text().splitlines()
    except OSError as error:
        return Found(None, (f"control groups: {error.strerror}",))
    owns = {key: path for _, key, path in (line.split(":", 2) for line in paths if line.count(":") >= 2)}
    why: list[str] = []
    second = _second(_mounted(mounts, "cgroup2"), owns.get("", ""), prefix, why)
    if second is not None:
        return Found(second, tuple(why))
    places = {}
    for controller in CONTROLLERS:
        own = next((path for key, path in owns.items() if controller in key.split(",")), None)
        mount = _mounted(mounts, "cgroup", controller)
        place = _subtree(mount, own or "")
        if mount is None or place is None:
            continue
        reason = _not_ours(place, mount[0]) or _trial(place, prefix)
        if reason:
            why.append(f"cgroup v1 {controller}: {reason}")
        else:
            places[controller] = place
    return Found(Groups(1, places, prefix) if places else None, tuple(why))


def _mounted(mounts: Iterable[str], kind: str, controller: str = "") -> tuple[Path, str] | None:
    """(mount point, the path in the hierarchy that is mounted there), proc(5)."""
    for line in mounts:
        left, _, right = line.partition(" - ")
        fields, types = left.split(), right.split()
        if len(fields) < 5 or len(types) < 3 or types[0] != kind:
            continue
        if not controller or controller in types[2].split(","):
            return Path(fields[4]), fields[3]
    return None


def _subtree(mount: tuple[Path, str] | None, own: str) -> Path | None:
    """Our group's directory; None when it is not below what is mounted."""
    if mount is None:
        return None
    point, root = mount
    try:
        inside = Path(own).relative_to(root)
    except ValueError:
        return None
    return point / inside if ".." not in inside.parts else None


def _delegated(place: Path) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(place, name) == b"1":
                return True
    return False


def _alone(place: Path) -> bool:
    """A login's group is its user's as well, and holds his shell beside us: that one is not ours."""
    try:
        ours = place.stat().st_uid == os.geteuid() != 0
    except OSError:
        return False
    return ours and set(_read(place / "cgroup.procs").split()) <= {str(os.getpid())}


def _not_ours(place: Path, point: Path) -> str:
    """Why nothing may be made there; "" when it may."""
    if not place.is_dir():
        return f"there is no {place}"
    if place != point and not _delegated(place) and not _alone(place):
        return "our group was not delegated to us"
    return "" if os.access(place, os.W_OK) else "not writable"


def _trial(place: Path, prefix: str) -> str:
    """Whether a group can be made; the only way to know is to make one."""
    trial = place / f"{prefix}.trial.{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        return str(error.strerror)
    return ""


def _second(mount: tuple[Path, str] | None, own: str, prefix: str, why: list[str]) -> Groups | None:
    """Version 2, its controllers switched on for groups of ours."""
    place = _subtree(mount, own)
    if mount is None or place is None:
        return None
    owned = place == mount[0] or _delegated(place)
    inside = not owned and _delegated(place.parent)  # systemd's DelegateSubgroup=
    subgroup = place if inside else None
    place = place.parent if inside else place
    reason = _not_ours(place, mount[0])
    wanted = [name for name in CONTROLLERS if name in _read(place / "cgroup.controllers").split()]
    if not reason and "cpu" not in wanted:
        reason = "the controller of processors is not here"
    reason = reason or _trial(place, prefix)
    if reason:
        why.append(f"cgroup v2: {reason}")
        return None
    refused = _switch_on(place, wanted)
    joined = not inside and any(error.errno == errno.EBUSY for error in refused.values())
    if joined:  # groups that share something out have no processes beside them
        _move_all(place, place / f"{prefix}.{_OURS}")
        refused = _switch_on(place, wanted)
    why += [f"cgroup v2 {name}: {error.strerror}" for name, error in refused.items()]
    if "cpu" in refused:
        Groups(2, dict.fromkeys(wanted, place), prefix, joined).close()
        return None
    places = {name: place for name in wanted if name not in refused}
    return Groups(2, places, prefix, joined, subgroup)


def _switch_on(place: Path, wanted: Iterable[str]) -> dict[str, OSError]:
    """Controllers that groups below are to have; those that were refused."""
    refused = {}
    for name in wanted:
        try:
            (place / "cgroup.subtree_control").write_text(f"+{name}")
        except OSError as error:
            refused[name] = error
    return refused


def _move_all(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        target.mkdir(exist_ok=True)
    for pid in _read(source / "cgroup.procs").split():
        for word in _write(target / "cgroup.procs", pid):
            log.warning("process %s stays in its control group: %s", pid, word)


def _values(version: Version, controller: str, directory: Path, want: Want) -> list[tuple[str, str]]:
    """(file, content) in the order in which they must be written."""
    if controller == "cpu":
        idle = (directory / _IDLE).exists()
        if idle and want.gives_way:  # it has no weight then, and takes none
            return [(_IDLE, "1")]
        weight = (
            ("cpu.weight", str(want.weight))
            if version == 2
            else ("cpu.shares", str(max(2, want.weight * _SHARES // 100)))
        )
        return [(_IDLE, "0"), weight] if idle else [weight]
    if controller == "cpuset":
        mems = _read(directory.parent / "cpuset.mems").strip()
        memory = [("cpuset.mems", mems)] if version == 1 else []  # it starts empty
        return [*memory, ("cpuset.cpus", want.cpus)]
    if version == 2:
        return [("memory.max", "max" if want.memory_bytes is None else str(want.memory_bytes))]
    return [("memory.limit_in_bytes", str(-1 if want.memory_bytes is None else want.memory_bytes))]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: str) -> list[str]:
    """What was refused, as a sentence; nothing when it went."""
    try:
        path.write_text(value)
    except ProcessLookupError:
        return []
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return []
