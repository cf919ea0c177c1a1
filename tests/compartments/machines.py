"""Machines to place on: topologies made by hand, and the trees of /sys they are read from."""

from pathlib import Path

from compartments.machine.topology import Cpu, Topology, ranges


def machine(cores: int, *, threads: int = 1, nodes: int = 1) -> Topology:
    """Cores in equal parts on NUMA nodes; numbered as Linux does it, all first hyper-threads before the second ones."""
    return Topology(
        tuple(
            Cpu(thread * cores + core, core, core * nodes // cores, core * nodes // cores)
            for thread in range(threads)
            for core in range(cores)
        )
    )


def write(topology: Topology, system: Path) -> None:
    """As /sys/devices/system has it."""
    for cpu in topology.cpus:
        place = system / "cpu" / f"cpu{cpu.number}" / "topology"
        place.mkdir(parents=True)
        (place / "physical_package_id").write_text(f"{cpu.package}\n")
        siblings = [other.number for other in topology.cpus if other.core == cpu.core]
        (place / "core_cpus_list").write_text(f"{ranges(siblings)}\n")
    for node in {cpu.node for cpu in topology.cpus}:
        place = system / "node" / f"node{node}"
        place.mkdir(parents=True)
        (place / "cpulist").write_text(f"{ranges([cpu.number for cpu in topology.cpus if cpu.node == node])}\n")
