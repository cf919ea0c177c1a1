"""What /sys says of the processors, and what it leaves out."""

import os
from pathlib import Path

import pytest

from compartments.machine.topology import Cpu, Topology, parse_cpus, ranges, read
from tests.compartments.machines import machine, write


@pytest.mark.parametrize(("cores", "threads", "nodes"), [(1, 1, 1), (2, 1, 1), (4, 2, 2), (64, 2, 4), (8, 4, 1)])
def test_a_machine_is_read_as_it_is(tmp_path: Path, cores: int, threads: int, nodes: int) -> None:
    made = machine(cores, threads=threads, nodes=nodes)
    write(made, tmp_path)
    assert read(made.numbers, tmp_path) == made
    assert len(made.cores()) == cores


def test_only_what_we_may_use_counts(tmp_path: Path) -> None:
    write(machine(4, threads=2, nodes=2), tmp_path)
    found = read({6, 1, 2}, tmp_path)
    assert found.numbers == (1, 2, 6)
    assert found.cores() == {1: (1,), 2: (2, 6)}
    assert read({6}, tmp_path).cpus == (Cpu(6, 2, 1, 1),), "its core is the same, though the sibling is not ours"


def test_cores_stand_in_order_of_their_nodes(tmp_path: Path) -> None:
    """Where nodes alternate, as some firmware numbers them."""
    made = Topology(tuple(Cpu(number, number, number % 2, number % 2) for number in range(4)))
    write(made, tmp_path)
    assert list(read(made.numbers, tmp_path).cores()) == [0, 2, 1, 3]


def test_without_sys_every_processor_is_a_core(tmp_path: Path) -> None:
    assert read({0, 1}, tmp_path / "none") == machine(2)


def test_without_numa_a_package_is_a_node(tmp_path: Path) -> None:
    write(machine(4, nodes=2), tmp_path)
    for directory in (tmp_path / "node").glob("*"):
        (directory / "cpulist").unlink()
        directory.rmdir()
    assert [cpu.node for cpu in read(range(4), tmp_path).cpus] == [0, 0, 1, 1]


def test_the_name_of_older_kernels(tmp_path: Path) -> None:
    write(machine(2, threads=2), tmp_path)
    for path in list(tmp_path.rglob("core_cpus_list")):
        path.rename(path.with_name("thread_siblings_list"))
    assert read(range(4), tmp_path) == machine(2, threads=2)


@pytest.mark.parametrize("rubbish", ["", "x", "3-1", "-4", "0-99999999", "1,,2"])
def test_rubbish_is_as_good_as_nothing(tmp_path: Path, rubbish: str) -> None:
    write(machine(2, threads=2), tmp_path)
    for name in ("core_cpus_list", "physical_package_id", "cpulist"):
        for path in list(tmp_path.rglob(name)):
            path.write_text(rubbish)
    assert read(range(4), tmp_path) == machine(4)


def test_firmware_that_does_not_know_the_package(tmp_path: Path) -> None:
    write(machine(2), tmp_path)
    for path in list(tmp_path.rglob("physical_package_id")):
        path.write_text("-1\n")
    assert read(range(2), tmp_path) == machine(2)


def test_this_machine() -> None:
    assert read().numbers == tuple(sorted(os.sched_getaffinity(0)))


@pytest.mark.parametrize("text", ["0", "0-3", "0-1,4,6-9", ""])
def test_lists_are_written_as_they_are_read(text: str) -> None:
    assert ranges(parse_cpus(text + "\n")) == text
