"""services add: every fault on a line of its own, as check tells them; what waits for its data is said to wait."""

import pytest

from tests.console.person import Person, Served, get, until

BAD = """
[services.misspelt]
kind = "sql"
compartment = "one"
sql = '''
SELECT id, nmae FROM things WHERE id = :id
'''
[services.unkeyed]
kind = "sql"
compartment = "one"
sql = "SELECT id FROM things WHERE abs(id) = :id"
[services.lost]
kind = "kv"
dataset = "thongs"
compartment = "three"
[services.odd]
kind = "kv"
dataset = "things"
compartment = "one"
feilds = ["name"]
[services.thing]
kind = "kv"
dataset = "places"
compartment = "one"
"""
TOLD = """\
error: more.toml: services.thing: stands in the configuration file already; change it there and reload
error: more.toml: services.odd.feilds: unknown key; did you mean fields?
error: more.toml: services.lost.dataset: there is no dataset 'thongs'; did you mean things?
error: more.toml: services.lost.compartment: there is no compartment 'three'
error: more.toml: services.misspelt.sql: line 1: there is no column 'nmae' in things; did you mean name?
    SELECT id, nmae FROM things WHERE id = :id
               ^^^^
error: more.toml: services.unkeyed.sql: line 1: every row of things would be read: WHERE fixes neither the beginning \
of its key (id) nor of an index; abs(id) hides id from the key
"""
WAITING = """
[services.{name}]
kind = "sql"
compartment = "one"
sql = "SELECT {column} FROM parts WHERE id = :id"
"""
PARTS = '[datasets.parts]\nkey = ["id"]\n'


def add(person: Person, document: str) -> str:
    (person.directory / "more.toml").write_text(document)
    return "more.toml"


def test_every_fault_is_a_line_of_its_own_with_file_key_and_reason(owner: Person, node: Served) -> None:
    said = owner.refused("services", "add", add(owner, BAD)).splitlines()
    assert len(said) == len(TOLD.splitlines()) + 2, said  # and the fragment of the last one
    for line in TOLD.splitlines():
        assert any(found.startswith(line) for found in said), (line, "\n".join(said))
    assert "services remove" not in "\n".join(said), "nothing was added that could be taken back"
    assert set(node.status()["services"]) == {"thing", "place"}


@pytest.mark.parametrize("document", ["[services.x", "[node]\nname = 'x'\n"])
def test_what_is_no_file_of_services_is_one_line_with_its_name(owner: Person, node: Served, document: str) -> None:
    (line,) = owner.refused("services", "add", add(owner, document)).splitlines()
    assert line.startswith("error: more.toml: ")


def test_what_was_added_before_still_says_how_to_take_it_back(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    person.serve()
    good = '[services.extra]\nkind = "kv"\ndataset = "things"\ncompartment = "two"\n'
    person.does("services", "add", add(person, good))
    person.amend('[compartments.two]\nbusiness = "test"\npriority = "low"\n', "")
    person.amend('compartment = "two"\nfields', 'compartment = "one"\nfields')
    said = person.refused("services", "add", add(person, good.replace("extra", "other")))
    told = {line.split(": ")[2]: line for line in said.splitlines()}
    assert told.keys() == {"services.extra.compartment", "services.other.compartment"}
    assert "havok services remove extra" in told["services.extra.compartment"]
    assert told["services.other.compartment"].startswith("error: more.toml: ")


def test_a_service_that_waits_for_its_data_says_so_and_then_how_it_is(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    person.config.write_text(person.config.read_text() + PARTS)
    served = person.serve()
    document = WAITING.format(name="part", column="name") + WAITING.format(name="broken", column="nmae")
    added = person.does("services", "add", add(person, document)).out
    for name in ("part", "broken"):
        assert (
            f"{name} is accepted, but NOT compiled yet: it will be when parts has its first version: havok load parts\n"
        ) in added
    assert "serving" not in added
    assert get(person.port, "/v1/part?id=1").json["code"] == "no_version"
    found = {item["service"]: item for item in person.does("services", "--json").json["services"]}
    assert found["broken"]["state"] == "no_version"
    assert "dataset parts has no version yet" in person.does("services").err
    assert "service broken: dataset parts has no version yet" in person.does("status").out

    person.csv("parts.csv", "id,name", [(1, "wheel")])
    done = person.does("load", "parts", "parts.csv")
    assert "warning: service broken does not compile on it: line 1: there is no column 'nmae' in parts" in done.err
    assert get(person.port, "/v1/part?id=1").json == {"data": [{"name": "wheel"}]}
    until(lambda: served.status()["services"]["broken"]["state"] == "faulty", "faulty")
    for said in (person.does("status").out, person.does("services").err):
        assert "service broken: line 1: there is no column 'nmae' in parts; did you mean name?" in said
    loaded = person.does("load", "parts", "parts.csv", "--json").json
    assert list(loaded["faulty"]) == ["broken"]


def test_what_is_served_at_once_and_what_waits_are_told_apart(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    person.config.write_text(person.config.read_text() + PARTS)
    person.serve()
    extra = '[services.extra]\nkind = "kv"\ndataset = "things"\ncompartment = "two"\n'
    found = person.does(
        "services", "add", add(person, extra + WAITING.format(name="part", column="name")), "--json"
    ).json
    assert found == {"services": ["extra", "part"], "waiting": {"part": ["parts"]}}


def test_all_that_was_added_can_be_taken_back_by_what_is_told(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    person.serve()
    one = '[services.{name}]\nkind = "kv"\ndataset = "things"\ncompartment = "two"\n'
    told = person.does("services", "add", add(person, one.format(name="x") + one.format(name="y"))).out
    assert told.endswith("take back: havok services remove x; havok services remove y\n")
