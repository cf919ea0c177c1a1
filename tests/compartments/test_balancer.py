"""Load moves by itself: real workers, real connections, and what is written down of it."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import uvloop

from compartments.load.moves import AddWorker, RemoveWorker
from compartments.supervisor import Supervisor
from tests.compartments.client import Client, Load, request
from tests.compartments.deadline import until
from tests.compartments.node import Node


def busy_node(node: Node, workers: dict[str, int], **more: Any) -> Node:
    node.compartments = {"one": {"business": "test", "workers": workers, **more}}
    node.services = {"a": {"kind": "kv", "dataset": "things", "compartment": "one"}}
    node.load(1)
    return node.start()


def pressed(node: Node) -> Callable[[], Any]:
    return lambda: node.status()["compartments"]["one"].get("pressure")


def moves(node: Node) -> dict[str, int]:
    found: dict[str, int] = node.status()["compartments"]["one"]["moves"]
    return found


def test_a_compartment_over_its_mark_gets_a_worker(node: Node) -> None:
    busy_node(node, {"min": 1, "max": 2}, watermarks={"low": 0.05, "high": 0.1})
    with Load(("127.0.0.1", node.port), ["a"], threads=4) as load:
        until(lambda: len([w for w in node.workers("one") if w["state"] == "ready"]) == 2, 20)
        seen = load.asked
        until(lambda: load.asked > seen + 300)
        assert load.failures == []
        assert load.reconnects == 0
    assert moves(node)["add_worker"] == 1
    (entry,) = [entry for entry in node.audit() if entry.action == "add_worker"]
    print(entry.reason)
    assert (entry.actor, entry.target) == ("node", "one")
    assert "over its high mark of 10 %" in entry.reason


def test_a_worker_that_is_given_up_leaves_and_has_no_successor(node: Node) -> None:
    node.compartments = {"one": {"business": "test", "workers": {"min": 1, "max": 3}}}
    node.services = {}
    node.write()

    async def run() -> None:
        supervisor = Supervisor(node.config, ["false"])
        await supervisor.start()
        try:
            fleet, balancer = supervisor.fleet, supervisor.balancer
            assert await supervisor.until_serving(20)
            for wanted in (2, 3):
                balancer.perform(AddWorker("one", "a test."))
                assert await supervisor.until_serving(20)
                assert (fleet.wanted("one"), len(fleet.workers("one"))) == (wanted, wanted)
            given_up = fleet.workers("one")[1]
            balancer.perform(RemoveWorker("one", given_up.name, "a test."))
            await asyncio.wait_for(given_up.ended.wait(), 10)
            assert (fleet.wanted("one"), len(fleet.workers("one"))) == (2, 2)
            killed = fleet.workers("one")[0]
            balancer.perform(RemoveWorker("one", None, "a test."))
            killed.signal(signal.SIGKILL)
            await asyncio.wait_for(killed.ended.wait(), 10)
            assert await supervisor.until_serving(20)
            assert len(fleet.workers("one")) == 1
        finally:
            supervisor.stop()
            await supervisor.run()

    uvloop.run(run())


def test_connections_go_from_a_hot_worker_to_a_cool_one(node: Node) -> None:
    busy_node(node, {"min": 2, "max": 2}, watermarks={"low": 0.02, "high": 0.9})
    first, second = sorted(node.worker_pids("one"))
    clients = [node.client() for _ in range(8)]
    for client in clients:
        assert client.get("a").status == 200

    def crowd() -> list[Client]:
        """Those of one worker."""
        return clients[::2]  # turns were taken

    rounds = 0

    def ask() -> bool:
        nonlocal rounds
        rounds += 1
        for client in crowd():
            client.send(request("a") * 32)
        for client in crowd():
            for _ in range(32):
                assert client.answer().status == 200
        return moves(node).get("move_connections", 0) > 0 if rounds % 20 == 0 else False

    until(ask, 30, "a move")
    for client in clients:
        assert client.get("a").status == 200
        client.sock.close()
    assert {first, second} == set(node.worker_pids("one"))


def test_without_any_slot_left_there_is_pressure(node: Node) -> None:
    busy_node(node, {"min": 1, "max": 1}, watermarks={"low": 0.02, "high": 0.05})
    with Load(("127.0.0.1", node.port), ["a"], threads=2) as load:
        reason = until(pressed(node), 20)
        print(reason)
        assert load.failures == []
    until(lambda: pressed(node)() is None, 30)
