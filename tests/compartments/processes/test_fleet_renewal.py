"""Processes replaced one after another."""

import pytest

from havok import messages
from havok.errors import NodeError
from havok.layout import version_dir
from tests.compartments.client import Load
from tests.compartments.deadline import until
from tests.compartments.node import Node
from tests.compartments.processes.test_fleet import answered


def test_a_rolling_restart_under_load_fails_nobody_and_ends_no_connection(node: Node) -> None:
    """FAULTS 6."""
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    old = {*node.worker_pids(), node.gate_pid()}
    with Load(("127.0.0.1", node.port), ["a"], threads=4) as load, Load(("127.0.0.1", node.port), ["a", "b"]) as mixed:
        until(lambda: load.asked > 200 and mixed.asked > 200)
        assert node.request(messages.RestartRequest(), 60) == {"processes": 4}
        seen = load.asked
        until(lambda: load.asked > seen + 200)
    print(load.summary(), mixed.summary())
    assert old.isdisjoint([*node.worker_pids(), node.gate_pid()])
    assert load.failures == mixed.failures == []
    assert load.reconnects == mixed.reconnects == 0
    assert node.is_serving()


def test_a_successor_that_serves_less_leaves_the_old_one_in_its_place(node: Node) -> None:
    version = node.load(1)
    node.start()
    before = [*node.worker_pids(), node.gate_pid()]
    rows = version_dir(node.data_dir, "things", version) / "rows.mdb"
    garbage = rows.with_suffix(".new")
    garbage.write_bytes(b"\xff" * rows.stat().st_size)
    garbage.rename(rows)  # who has it open keeps the old file
    with pytest.raises(NodeError, match="one-2 stays: one-4, which was to replace it, does not serve a: "):
        node.request(messages.RestartRequest(), 60)
    until(lambda: len(node.worker_pids()) == 2)
    assert [*node.worker_pids(), node.gate_pid()] == before
    assert answered(node, "a")
