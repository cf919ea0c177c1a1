"""The settings in force on a running node: changed, refused, added to."""

import signal
import threading

import psutil
import pytest

from compartments.people.configuration import NAMED_MAX, changes
from compartments.supervisor import Supervisor
from havok import messages
from havok.errors import ConfigError, NodeError
from havok.settings import DatasetSettings, Settings
from tests.compartments.deadline import until
from tests.compartments.node import Node, service

SERVICE = '[services.{name}]\nkind = "kv"\ndataset = "things"\ncompartment = "{compartment}"\n'


def reload(node: Node) -> None:
    node.write()
    node.request(messages.ReloadRequest())


def test_an_invalid_configuration_is_refused_and_shown(node: Node) -> None:
    node.load(1)
    node.start()
    node.services["c"] = service("nowhere")
    node.write()
    assert node.supervisor is not None
    node.supervisor.send_signal(signal.SIGHUP)
    until(lambda: node.status()["faults"])
    assert "services.c.compartment" in node.status()["faults"][0]
    with pytest.raises(NodeError, match="nowhere"):
        node.request(messages.ReloadRequest())
    with node.client() as client:
        assert client.get("a").status == 200
        assert client.get("c").status == 404
    node.config.write_text("[node\n")
    with pytest.raises(NodeError, match="line 1"):
        node.request(messages.ReloadRequest())
    del node.services["c"]
    reload(node)
    assert node.status()["faults"] == []


@pytest.mark.parametrize("key", ["listen", "admin", "data_dir", "name"])
def test_what_needs_a_restart_is_refused_by_its_key(node: Node, key: str) -> None:
    node.start()
    node.node[key] = {"listen": "127.0.0.1:1", "admin": "127.0.0.1:2", "data_dir": "elsewhere", "name": "other"}[key]
    node.services["c"] = service("one")
    node.write()
    with pytest.raises(NodeError, match=f"node.{key}"):
        node.request(messages.ReloadRequest())
    with pytest.raises(NodeError, match=f"node.{key}"):  # not by another way either
        node.request(messages.AddServiceRequest(SERVICE.format(name="d", compartment="one")))
    status = node.status()
    assert f"node.{key}" in status["faults"][0]
    assert set(status["services"]) == {"a", "b"}


def test_two_reloads_at_once_end_in_the_newer_one(node: Node) -> None:
    node.load(1)
    node.start()
    threads = []
    for count in (2, 3, 1):
        node.compartments["one"]["workers"] = {"min": count, "max": 3}
        node.services["a"] = service("one" if count % 2 else "two")
        node.write()
        thread = threading.Thread(target=lambda: node.request(messages.ReloadRequest(), 30))
        thread.start()
        threads.append(thread)
        with node.client() as client:
            client.get("b")
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    until(node.is_serving, 10)
    assert len(node.workers("one")) == 1
    with node.client() as client:
        assert client.get("a").compartment == "one"


def test_a_new_drain_time_holds_for_what_starts_next(node: Node) -> None:
    node.node["drain_s"] = 30.0
    node.load(1)
    node.start()
    node.node["drain_s"] = 0.6
    node.compartments["two"]["workers"] = {"min": 2, "max": 2}
    reload(node)
    until(node.is_serving)
    assert '"drain_s":0.6' in psutil.Process(node.worker_pids("two")[1]).cmdline()[-1]


# -- services at run time -----------------------------------------------------------------


def test_services_added_at_run_time_are_durable(node: Node) -> None:
    node.load(1)
    node.start()
    document = SERVICE.format(name="c", compartment="two") + SERVICE.format(name="d", compartment="one")
    assert node.request(messages.AddServiceRequest(document)) == {"services": ["c", "d"], "waiting": {}}
    with node.client() as client:
        assert client.get("c").compartment == "two"
        assert client.get("d").compartment == "one"
    assert node.stop() == 0
    node.start()
    with node.client() as client:
        assert client.get("c").compartment == "two"
    assert node.request(messages.RemoveServiceRequest("c")) == {"services": ["c"]}
    with node.client() as client:
        assert client.get("c").status == 404
        assert client.get("d").status == 200
    node.kill_supervisor()
    node.start()
    with node.client() as client:
        assert client.get("c").status == 404
        assert client.get("d").status == 200


def test_services_that_cannot_be_are_refused_and_not_kept(node: Node) -> None:
    node.load(1)
    node.start()
    for document, part in (
        (SERVICE.format(name="c", compartment="three"), "three"),
        (SERVICE.format(name="a", compartment="one"), "stands in the configuration file"),
        (SERVICE.format(name="c", compartment="one") + 'fields = ["nope"]\n', "nope"),
        ("[node]\nname = 'x'\n", "may only hold"),
        ("][", "not TOML"),
    ):
        with pytest.raises(NodeError, match=part):
            node.request(messages.AddServiceRequest(document))
    for name in ("a", "c"):
        with pytest.raises(NodeError, match="added at run time"):
            node.request(messages.RemoveServiceRequest(name))
    assert set(node.status()["services"]) == {"a", "b"}
    assert node.stop() == 0
    node.start()


def test_a_removal_that_is_refused_removes_nothing(node: Node) -> None:
    """While the file is broken nothing changes, on disk neither."""
    node.load(1)
    node.start()
    node.request(messages.AddServiceRequest(SERVICE.format(name="c", compartment="one")))
    node.config.write_text("[node\n")
    with pytest.raises(NodeError, match="line 1"):
        node.request(messages.RemoveServiceRequest("c"))
    node.write()
    node.request(messages.ReloadRequest())
    with node.client() as client:
        assert client.get("c").status == 200


def test_status_can_be_asked_while_services_are_added(node: Node) -> None:
    node.load(1)
    node.start()
    node.services["c"] = service("three")
    node.compartments["three"] = {"business": "test", "workers": {"min": 2, "max": 2}}
    node.write()
    thread = threading.Thread(target=lambda: node.request(messages.ReloadRequest(), 30))
    thread.start()
    asked = 0
    while thread.is_alive():
        node.status()
        asked += 1
    thread.join()
    assert asked > 3
    assert node.status()["services"]["c"]["state"] == "live"


def test_an_invalid_configuration_is_refused_with_every_fault(node: Node) -> None:
    node.services["c"] = service("nowhere", "nothing")
    node.write()
    with pytest.raises(ConfigError) as caught:
        Supervisor(node.config, ["false"])
    assert len(caught.value.faults) == 2


def test_what_a_reload_changed_is_logged_and_which_plan_serves_on(node: Node) -> None:
    node.load(1)
    node.start()
    node.services["c"] = service("one")
    node.services["b"] = service("two", fields=["none"])
    node.compartments["three"] = {"business": "test"}
    reload(node)
    told = node.log.read_text()
    assert "configuration: service c added; service b changed; compartment three added\n" in told
    assert "has no column 'none'" in told
    assert "\n    the plan it had serves on until this is mended\n" in told
    with node.client() as client:
        assert client.get("b").status == 200
    reload(node)
    assert "configuration: no service, dataset or compartment is another\n" in node.log.read_text()


def test_many_changes_are_cut() -> None:
    many = {f"d{number:02}": DatasetSettings(key=("id",)) for number in range(NAMED_MAX + 2)}
    assert changes(Settings(datasets=many), Settings()).endswith("d19 and 2 more removed")
