"""The processors of this machine that we may use: their cores, hyper-threads and NUMA nodes.

Rule: reads /sys/devices/system and decides nothing. What /sys does not say is taken to be
simple: a processor without siblings is a core of its own, and without NUMA nodes each package
is one.
"""

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

SYSTEM = Path("/sys/devices/system")
_CPU_MAX = 8191  # NR_CPUS of the largest kernels; a list that names more is no list of processors


class Cpu(msgspec.Struct, frozen=True, order=True):
    """One logical processor. Those of one `core` are its hyper-threads; `core` is their lowest number."""

    number: int
    core: int
    node: int = 0
    package: int = 0


class Topology(msgspec.Struct, frozen=True):
    cpus: tuple[Cpu, ...]  # by number; never none

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(cpu.number for cpu in self.cpus)

    def cores(self) -> dict[int, tuple[int, ...]]:
        """Core → its processors that we may use, in order of node, then core."""
        found: dict[int, tuple[int, ...]] = {}
        for cpu in sorted(self.cpus, key=lambda cpu: (cpu.node, cpu.core, cpu.number)):
            found[cpu.core] = (*found.get(cpu.core, ()), cpu.number)
        return found


def read(allowed: Collection[int] | None = None, system: Path = SYSTEM) -> Topology:
    """`allowed`: the processors we may use, by default this process's."""
    numbers = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    nodes = _nodes(system / "node")
    cpus = []
    for number in numbers:
        place = system / "cpu" / f"cpu{number}" / "topology"
        siblings = _cpu_list(place / "core_cpus_list") or _cpu_list(place / "thread_siblings_list") or (number,)
        package = max(0, _integer(place / "physical_package_id"))  # -1 where the firmware does not know
        core = min(siblings) if number in siblings else number
        cpus.append(Cpu(number, core, nodes.get(number, 0) if nodes else package, package))
    return Topology(tuple(cpus))


def _nodes(place: Path) -> dict[int, int]:
    """Processor → NUMA node; empty where the kernel knows none."""
    found = {}
    for directory in sorted(place.glob("node[0-9]*")):
        for number in _cpu_list(directory / "cpulist"):
            found[number] = int(directory.name.removeprefix("node"))
    return found


def _integer(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _cpu_list(path: Path) -> tuple[int, ...]:
    """ "0-3,8" → (0, 1, 2, 3, 8); empty for what is no such list."""
    try:
        return parse_cpus(path.read_text())
    except (OSError, ValueError):
        return ()


def parse_cpus(text: str) -> tuple[int, ...]:
    """Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        low, high = int(first), int(last if dash else first)
        if not 0 <= low <= high <= _CPU_MAX:
            raise ValueError(f"{part!r} is no range of processors")
        found.update(range(low, high + 1))
    return tuple(sorted(found))


def ranges(cpus: Collection[int]) -> str:
    """{0, 1, 2, 5} → "0-2,5", as the kernel writes it."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
