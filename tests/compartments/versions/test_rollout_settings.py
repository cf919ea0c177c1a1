"""New settings on a running node, while data changes too."""

import signal
import threading
from pathlib import Path

import pytest

from compartments.processes.member import Patience
from havok import messages
from tests.compartments.client import Load
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal, service


@pytest.fixture
def moving(tmp_path: Path) -> Node:
    """Services `a` and `o` of two datasets in compartment `one`; `two` is there and has none."""
    node = Node(tmp_path, patience=Patience(silent_s=60, hung_s=60))
    node.datasets["others"] = {"key": ["id"]}
    node.services = {"a": service("one"), "o": service("one", "others")}
    return node


@pytest.mark.parametrize("dataset", ["others", "things"])
def test_a_version_activated_while_a_service_moves(moving: Node, dataset: str) -> None:
    """Whatever is published meanwhile: the service is served where it was until its new place has it ready."""
    with moving as node:
        node.load(1)
        node.load(1, "others")
        node.start()
        new = node.load(2, dataset, point=False)
        (pid,) = node.worker_pids("two")
        seq = node.status()["supervisor"]["seq"]
        node.services["a"] = service("two")
        node.write()
        mover = threading.Thread(target=lambda: node.request(messages.ReloadRequest(), 30))
        with Load(("127.0.0.1", node.port), ["a", "o"]) as load, node.client() as client:
            send_signal(pid, signal.SIGSTOP)  # it gets nothing ready now
            mover.start()
            until(lambda: node.status()["supervisor"]["seq"] > seq, what="the move is staged")
            node.swap(new, dataset)
            assert client.get("a" if dataset == "things" else "o").version == f"{dataset}@{new}"
            assert client.get("a").compartment == "one"
            send_signal(pid, signal.SIGCONT)
            mover.join(20)
            assert not mover.is_alive(), "what waited for the stage was told"
            assert client.get("a").compartment == "two"
            seen = load.asked
            until(lambda: load.asked > seen + 100)
        print(load.summary())
        assert load.failures == []
        assert {found["state"] for found in node.status()["services"].values()} == {"live"}
