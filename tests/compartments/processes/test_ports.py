"""Ports of a node: opened, taken over, and those that compartments have to themselves."""

import signal
import socket
from pathlib import Path

import pytest

from compartments.processes.ports import Ports, addresses
from havok import messages
from havok.errors import NodeError
from havok.settings import CompartmentSettings, NodeSettings, Settings
from tests.compartments.client import Client, Load, request
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal
from tests.compartments.processes.test_fleet import gone
from tests.ports import free_ports

SETTINGS = Settings(
    node=NodeSettings(listen="127.0.0.1:1"),
    compartments={"one": CompartmentSettings("x", listen="127.0.0.1:2"), "two": CompartmentSettings("x")},
)


def test_addresses_say_where_they_stand() -> None:
    assert addresses(SETTINGS) == {"127.0.0.1:1": "node.listen", "127.0.0.1:2": "compartments.one.listen"}


def test_what_is_held_is_taken_over_and_the_rest_opened() -> None:
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    held = socket.create_server(("127.0.0.1", int(first.rpartition(":")[2])))
    ports = Ports({first: held})
    ports.open({first: "node.listen", second: "compartments.one.listen"})
    assert ports.fds([first])[first] == held.fileno()
    ports.keep([second])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(first.rpartition(":")[2])))
    socket.create_connection(("127.0.0.1", int(second.rpartition(":")[2]))).close()
    ports.close()


def test_when_one_cannot_be_had_none_is_opened() -> None:
    free, taken = free_ports(2)
    with socket.create_server(("127.0.0.1", taken)):
        ports = Ports({})
        with pytest.raises(NodeError, match=r"compartments\.one\.listen"):
            ports.open({f"127.0.0.1:{free}": "node.listen", f"127.0.0.1:{taken}": "compartments.one.listen"})
    socket.create_server(("127.0.0.1", free)).close()


@pytest.fixture
def own(node: Node) -> int:
    """The port of compartment `one` alone; it has two workers."""
    (port,) = free_ports(1)
    node.compartments["one"] |= {"listen": f"127.0.0.1:{port}", "workers": {"min": 2, "max": 2}}
    node.load(1)
    return port


def test_an_own_port_serves_without_the_gate(node: Node, own: int) -> None:
    node.start()
    send_signal(node.gate_pid(), signal.SIGSTOP)
    with Client(("127.0.0.1", own)) as client:
        assert client.get("a").compartment == "one"
        assert client.get("b").compartment == "two", "what is elsewhere is found there as well"
        assert client.get("a").compartment == "one"
    send_signal(node.gate_pid(), signal.SIGCONT)
    with node.client() as client:
        assert client.get("a").status == 200, "node.listen serves all the same"


def test_an_own_port_outlives_its_workers_and_rolling_restarts(node: Node, own: int) -> None:
    node.start()
    old = node.worker_pids("one")
    with Load(("127.0.0.1", own), ["a"], threads=3) as load:
        until(lambda: load.asked > 100)
        node.request(messages.RestartRequest(), 60)
        seen = load.asked
        until(lambda: load.asked > seen + 100)
    assert load.failures == []
    assert set(old).isdisjoint(node.worker_pids("one"))
    node.kill_supervisor()
    node.start()
    workers = node.worker_pids("one")
    for pid in workers:
        send_signal(pid, signal.SIGKILL)
    until(lambda: all(map(gone, workers)))
    with Client(("127.0.0.1", own)) as client:  # nobody accepts now; the queue waits
        client.send(request("a"))
        assert client.answer().status == 200


def test_a_port_comes_moves_and_goes_with_a_reload(node: Node, tmp_path: Path) -> None:
    node.load(1)
    node.start()
    first, second = free_ports(2)
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=2) as load:
        for port in (first, second, None):
            if port is None:
                del node.compartments["one"]["listen"]
            else:
                node.compartments["one"]["listen"] = f"127.0.0.1:{port}"
            node.write()
            node.request(messages.ReloadRequest())
            until(lambda: node.status()["outdated"] == 0, 20)
            if port is not None:
                with Client(("127.0.0.1", port)) as client:
                    assert client.get("a").status == 200
    assert load.failures == []
    for port in (first, second):
        until(lambda port=port: refused(port))  # type: ignore[misc]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_that_is_taken_refuses_the_reload(node: Node) -> None:
    node.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node.compartments["one"]["listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
        node.write()
        with pytest.raises(NodeError, match=r"cannot listen on .* \(compartments\.one\.listen\)"):
            node.request(messages.ReloadRequest())
        document = '[services.c]\nkind = "kv"\ndataset = "things"\ncompartment = "one"\n'
        with pytest.raises(NodeError, match=r"compartments\.one\.listen"):
            node.request(messages.AddServiceRequest(document))
    assert node.status()["compartments"]["one"]["listen"] is None
    (fault,) = node.status()["faults"]
    assert "cannot listen on" in fault
    del node.compartments["one"]["listen"]
    node.services["b"]["compartment"] = "one"
    node.write()
    node.request(messages.ReloadRequest())
    assert node.status()["faults"] == []
    assert [(entry.action, entry.reason) for entry in node.audit()] == [("reload", "service b changed")]
    assert "c" not in node.status()["services"], "what was refused is not kept"
