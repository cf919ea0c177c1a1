"""status, services, datasets, plan and call: what a person reads, what a machine reads."""

import pytest

from compartments.people.database import ControlDatabase
from compartments.people.stored import StoredServices
from tests.compartments.deadline import until
from tests.console.person import Person, Served, get

SERVICE = """
[services.{name}]
kind = "kv"
dataset = "things"
compartment = "one"
fields = ["{field}"]
"""

ANALYTICAL = """
[services.howmany]
kind = "sql"
compartment = "one"
sql = "SELECT count(*) AS n FROM things"
analytical = true
"""


def test_status_has_the_contracts_shape(owner: Person, node: Served) -> None:
    found = owner.does("status", "--json").json
    assert found["node"] == "local"
    assert found["supervisor"]["pid"] == node.pid
    assert len(found["gate"]["pids"]) == 1
    one = found["compartments"]["one"]
    assert one["priority"] == "high"
    assert one["watermarks"] == {"low": 0.35, "high": 0.75}
    (worker,) = one["workers"]
    assert worker["state"] == "ready"
    assert worker["versions"] == {"things": found["datasets"]["things"]["live"]}
    assert {"pid", "cpus", "connections"} <= worker.keys()
    assert found["services"]["place"]["state"] == "live"
    assert found["switches"] == []


def test_status_as_tables(owner: Person, node: Served) -> None:
    shown = owner.does("status").out
    assert f"pid {node.pid}" in shown
    for part in ("COMPARTMENT", "one (high)", "two (low)", "SERVICE", "thing", "DATASET", "places"):
        assert part in shown
    found = node.status()["compartments"]["one"]
    assert f"kept apart by {found['isolation']}" in shown
    for note in found["notes"]:
        assert f"one: {note}" in " ".join(shown.split())


def test_executors_are_shown_where_there_are_some(owner: Person, node: Served) -> None:
    assert "EXECUTOR" not in owner.does("status").out
    file = owner.directory / "more.toml"
    file.write_text(ANALYTICAL)
    owner.does("services", "add", file)
    assert get(owner.port, "/v1/howmany").status == 200

    def shown() -> str:
        return next((line for line in owner.does("status").out.splitlines() if "1 answered" in line), "")

    line = until(shown, what="the executor is reported")
    (worker,) = node.status()["compartments"]["one"]["workers"]
    assert line.split() == ["one", str(worker["pid"]), str(worker["executors"][0]["pid"]), "idle", "0", "1", "answered"]
    owner.does("services", "remove", "howmany")


def test_without_a_node_status_says_how_to_start_it(person: Person) -> None:
    assert person.refused("status") == "error: the node is not running; start it with: havok serve\n"


def test_datasets(owner: Person, node: Served) -> None:
    found = {item["dataset"]: item for item in owner.does("datasets", "--json").json["datasets"]}
    assert found["places"]["rows"] == 3
    assert found["places"]["key"] == ["country", "code"]
    assert found["places"]["services"] == ["place"]
    assert "not loaded" not in owner.does("datasets").out


def test_services_come_and_go(owner: Person, node: Served) -> None:
    file = owner.directory / "more.toml"
    file.write_text(SERVICE.format(name="extra", field="v"))
    assert owner.does("services", "add", file, "--json").json == {"services": ["extra"], "waiting": {}}
    assert get(owner.port, "/v1/extra?id=1").json == {"data": {"v": 1}}
    found = {item["service"]: item for item in owner.does("services", "--json").json["services"]}
    assert (found["extra"]["added"], found["extra"]["state"]) == (True, "live")
    assert "added at run time" in owner.does("services").out
    assert owner.does("plan", "extra").code == 0
    assert owner.does("services", "remove", "extra").out == "service extra is removed\n"
    assert get(owner.port, "/v1/extra?id=1").status == 404


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (SERVICE.format(name="bad", field="nme"), "did you mean 'name'?"),
        (SERVICE.format(name="thing", field="v"), "stands in the configuration file"),
        (SERVICE.format(name="bad", field="v").replace("things", "thongs"), "did you mean things?"),
        ("[services.x", "not TOML"),
        ("[node]\nname = 'x'", "may only hold [services.NAME] tables"),
    ],
)
def test_a_bad_service_is_not_taken(owner: Person, node: Served, document: str, reason: str) -> None:
    file = owner.directory / "bad.toml"
    file.write_text(document)
    assert reason in owner.refused("services", "add", file)
    assert set(node.status()["services"]) == {"thing", "place"}


def test_services_of_a_stopped_node(person: Person) -> None:
    assert "not running" in person.does("services").out
    assert "No such file" in person.refused("services", "add", "none.toml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[services.thing]", "[services.extra]"),  # stands in the file now as well
        ("[compartments.two]\nbusiness", "[compartments.three]\nbusiness"),
    ],
)
def test_an_added_service_that_fits_no_more_is_taken_back_while_stopped(person: Person, old: str, new: str) -> None:
    person.data_dir.mkdir()
    document = SERVICE.format(name="extra", field="v").replace('compartment = "one"', 'compartment = "two"')
    StoredServices(ControlDatabase(person.data_dir)).add(document)
    person.amend(old, new)
    if "three" in new:
        person.amend('compartment = "two"', 'compartment = "three"')
    for command in ("serve", "check"):
        assert "havok services remove extra" in person.refused(command)
    assert person.does("services", "remove", "extra").out == "service extra is removed\n"
    assert person.does("check").code == 0


def test_only_what_was_added_is_taken_back(person: Person) -> None:
    assert "thing" in person.refused("services", "remove", "thing")


def test_plan_explains(owner: Person) -> None:
    shown = owner.does("plan", "place").out
    for part in ("point lookup by key (country, code)", "at most 1 row", "1,000 keys", "places@", "100000 requests/s",
                 "fields: name VARCHAR", "pattern", "required"):  # fmt: skip
        assert part in shown
    found = owner.does("plan", "place", "--json").json
    assert (found["cost"]["rows_max"], found["cost"]["batch_max"]) == (1, 1000)
    assert found["params"][1]["rules"] == {"pattern": "^[a-z]+$"}
    assert found["guards"]["rate_limit"] == {"rps": 100000.0, "burst": 1000}


def test_plan_prints_code_that_compiles(owner: Person) -> None:
    compile(owner.does("plan", "thing", "--code").out, "plan", "exec")


def test_plan_without_a_version_says_what_to_do(person: Person) -> None:
    assert "havok load things" in person.refused("plan", "thing")


def test_call(owner: Person, node: Served) -> None:
    done = owner.does("call", "place", "country=de", "code=ber", "-v")
    assert done.out == '{\n  "data": {\n    "name": "Berlin"\n  }\n}\n'
    assert "Havok-Version: places@" in done.err
    assert "Havok-Compartment: two" in done.err
    assert owner.does("call", "place", "country=de", "code=ber", "--json").json == {"data": {"name": "Berlin"}}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["thing", "id=seven"], "bad_param (400): parameter id must be an integer"),
        (["thing"], "parameter id is required"),
        (["thing", "id=999"], "not_found (404)"),
        (["place", "country=de", "code=BER"], "must match ^[a-z]+$"),
        (["ghost", "id=1"], "the configuration has: place, thing"),
        (["a b", "id=1"], "the configuration has: place, thing"),
        (["café", "id=1"], "the configuration has: place, thing"),
        (["thing", "id=\udcff"], "not UTF-8 text"),
    ],
)
def test_a_failed_call_is_a_sentence(owner: Person, node: Served, arguments: list[str], reason: str) -> None:
    said = owner.refused("call", *arguments)
    assert reason in said
    assert len(said.splitlines()) == 1


def test_nobody_to_call(person: Person) -> None:
    assert "start the node with: havok serve" in person.refused("call", "thing", "id=1")


def test_a_parameter_without_a_value_is_wrong_usage(owner: Person) -> None:
    done = owner.havok("call", "thing", "seven")
    assert (done.code, done.out) == (2, "")
    assert "expected key=value, got 'seven'" in done.err
