"""check: all faults at once, plans on live schemas, warnings."""

import os

from compartments.machine.topology import read
from tests.console.person import Person


def test_all_good(owner: Person) -> None:
    assert owner.does("check").out == "2 services, 2 datasets: all good\n"
    found = owner.does("check", "--json").json
    assert found == {
        "ok": True, "faults": [], "warnings": [], "services": 2, "datasets": 2, "not_compiled": [],
    }  # fmt: skip


def test_every_fault_is_told_with_file_key_and_reason(person: Person) -> None:
    person.amend('priority = "high"', 'priority = "hihg"')
    person.amend('dataset = "places"', 'dataset = "place"')
    person.amend("min_rows = 5", "min_rwos = 5")
    lines = person.refused("check").splitlines()
    assert len(lines) == 3
    assert any("havok.toml: compartments.one.priority:" in line and 'did you mean "high"?' in line for line in lines)
    assert any("services.place.dataset: there is no dataset 'place'; did you mean places?" in line for line in lines)
    assert any("datasets.things.quality.min_rwos: unknown key; did you mean min_rows?" in line for line in lines)
    done = person.havok("check", "--json")
    assert done.code == 1
    assert {fault["key"] for fault in done.json["faults"]} == {
        "compartments.one.priority", "services.place.dataset", "datasets.things.quality.min_rwos"
    }  # fmt: skip


def test_a_plan_that_does_not_compile_on_the_live_version(person: Person) -> None:
    person.loaded("places")
    person.amend('fields = ["name"]', 'fields = ["nmae"]')
    assert "services.place: dataset places has no column 'nmae'; did you mean 'name'?" in person.refused("check")


def test_a_source_that_is_not_there(person: Person) -> None:
    (person.directory / "places.csv").unlink()
    assert "datasets.places.source: there is no file" in person.refused("check")


def test_not_toml_at_all(person: Person) -> None:
    person.config.write_text("[node\n")
    assert "havok.toml" in person.refused("check")
    assert "havok.toml" in person.refused("serve")
    assert "havok.toml" in person.refused("status")


def test_what_looks_odd_is_a_warning(person: Person) -> None:
    person.amend('source = "places.csv"\n', "")
    person.amend("[services.thing]", '[compartments.idle]\nbusiness = "test"\n\n[services.thing]')
    done = person.does("check")
    assert "datasets.places: has no source and no version" in done.err
    assert "compartments.idle: has no services" in done.err


def test_a_key_that_the_live_version_does_not_have_yet(person: Person) -> None:
    person.loaded("things")
    person.amend('key = ["id"]', 'key = ["id", "name"]')
    assert "datasets.things.key: the live version is served by (id) until the next load" in person.does("check").err


def test_a_file_of_services_alone_is_a_part_of_another(person: Person) -> None:
    (person.directory / "more.toml").write_text('[services.x]\nkind = "kv"\ndataset = "things"\ncompartment = "one"\n')
    said = person.refused("check", "more.toml")
    assert "more.toml holds [services.NAME] tables only" in said
    assert "include of [node]" in said
    assert "havok services add more.toml" in said


def test_cores_that_are_not_there_are_told(person: Person) -> None:
    cores = len(read().cores())
    person.amend('priority = "high"', f'priority = "high"\ncores = {cores + 1}')
    assert f"compartments.one: it has {cores - 1 or 1} of the {cores + 1} cores it asks for" in person.does("check").err
    person.amend(f"cores = {cores + 1}", f"cpus = [{max(os.sched_getaffinity(0)) + 1}]")
    assert "compartments.one.cpus[0]: this machine has no core" in person.refused("check")


def test_neighbours_on_one_core_are_told(person: Person) -> None:
    core = min(os.sched_getaffinity(0))
    person.amend('priority = "high"', f'priority = "high"\ncpus = [{core}]')
    person.amend("[compartments.two]\n", f"[compartments.two]\ncpus = [{core}]\n")
    (one, two) = person.does("check", "--json").json["warnings"]
    assert (one["key"], one["reason"]) == ("compartments.one", f"it shares cpus {core} with two")
    assert (two["key"], two["reason"]) == ("compartments.two", f"it shares cpus {core} with one")
