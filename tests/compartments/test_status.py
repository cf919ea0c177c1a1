"""The document of `havok status --json`."""

from time import monotonic

from havok.layout import live_version
from tests.compartments.deadline import until
from tests.compartments.node import Node, service


def test_it_has_what_the_contract_says(node: Node) -> None:
    node.node |= {"name": "n1", "zone": "z1"}
    node.compartments["one"] |= {
        "priority": "high",
        "watermarks": {"low": 0.2, "high": 0.9},
        "connections_max": 1000,
        "cores": 0.5,
    }
    node.load(1)
    version = node.load(2)
    node.start()
    with node.client() as client:
        for _ in range(5):
            client.get("a")
        client.get("a", "nobody")
        until(lambda: node.workers("one")[0]["requests"] >= 6)
        status = node.status()
    assert (status["node"], status["zone"]) == ("n1", "z1")
    assert node.supervisor is not None
    assert status["supervisor"]["pid"] == node.supervisor.pid
    assert [type(pid) for pid in status["gate"]["pids"]] == [int]
    one = status["compartments"]["one"]
    assert one["priority"] == "high"
    assert one["watermarks"] == {"low": 0.2, "high": 0.9}
    assert 0 <= one["load"] <= 1
    assert one["isolation"] in ("cgroup v2", "cgroup v1", "affinity and rlimits")
    assert isinstance(one["notes"], list)
    assert (one["connections_max"], one["connections_refused"]) == (1000, 0)
    (worker,) = one["workers"]
    assert worker["pid"] > 0
    assert worker["state"] == "ready"
    assert worker["cpus"]
    assert worker["connections"] == 1
    assert worker["versions"] == {"things": version}
    assert worker["seq"] == status["supervisor"]["seq"]
    assert status["datasets"]["things"]["live"] == version == live_version(node.data_dir, "things")
    assert len(status["datasets"]["things"]["versions"]) == 2
    assert status["services"]["a"] == {
        "state": "live", "kind": "kv", "dataset": "things", "datasets": ["things"],
        "compartment": "one", "grade": "core",
    }  # fmt: skip
    assert status["switches"] == []
    assert status["faults"] == []


def test_a_service_says_why_it_does_not_answer(node: Node) -> None:
    node.datasets["others"] = {"key": ["id"]}
    node.services["c"] = service("one", "others")
    node.services["d"] = service("one", fields=["nope"])
    node.load(1)
    node.start()
    services = node.status()["services"]
    assert services["a"]["state"] == "live"
    assert services["c"]["state"] == "no_version"
    assert "havok load others" in services["c"]["reason"]
    assert services["d"]["state"] == "faulty"
    assert "nope" in services["d"]["reason"]
    with node.client() as client:
        for name in ("c", "d"):
            answer = client.get(name)
            assert answer.status == 503
            assert answer.headers["havok-compartment"] == "one"


def test_a_thousand_services_do_not_hold_the_supervisor_up(node: Node) -> None:
    node.compartments = {"one": {"business": "test"}}
    node.services = {f"s{n}": service("one") for n in range(1000)}
    node.load(1)
    node.start()

    started = monotonic()
    for _ in range(5):
        assert len(node.status()["services"]) == 1000
    took = (monotonic() - started) / 5
    print(f"status of 1000 services: {took * 1000:.0f} ms")
    assert took < 1
    with node.client() as client:
        assert client.get("s999").status == 200
    assert "held up" not in node.words()
