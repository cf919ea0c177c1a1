"""versions, rollback, diff and verify where no node runs."""

from tests.console.person import Person, things


def _load(person: Person, number: int, rows: int = 20) -> str:
    person.things(number, rows)
    return person.loaded()


def test_a_table_of_versions(person: Person) -> None:
    first, second = _load(person, 1), _load(person, 2)
    lines = person.does("versions", "things").out.splitlines()
    assert lines[0].split() == ["VERSION", "ROWS", "SIZE", "CREATED", "STATE"]
    assert lines[1].startswith(second)
    assert lines[1].endswith("live")
    assert lines[2].startswith(first)
    assert lines[2].endswith("previous")


def test_rollback_and_its_quarantine(person: Person) -> None:
    first, second = _load(person, 1), _load(person, 2)
    said = person.does("rollback", "things").out
    assert f"back to {first}" in said
    assert f"{second} is quarantined" in said
    assert "quarantined" in person.does("versions", "things").out
    assert "--force" in person.refused("rollback", "things", "--to", second)
    found = person.does("rollback", "things", "--to", second, "--force", "--json").json
    assert {"version": second, "previous": first, "workers": 0}.items() <= found.items()


def test_going_forward_is_no_way_back(person: Person) -> None:
    first = _load(person, 1)
    person.things(2)
    second = person.does("load", "things", "--no-activate", "--json").json["version"]
    said = person.does("rollback", "things", "--to", second).out
    assert said == f"things: now {second}, no node is running; {first} is the one before\n"
    assert "quarantined" not in person.does("versions", "things").out
    assert f"{second} is quarantined" in person.does("rollback", "things").out
    assert "quarantines nothing" in person.does("rollback", "--help").out


def test_nothing_to_go_back_to(person: Person) -> None:
    assert "has no versions" in person.refused("rollback", "things")
    _load(person, 1)
    assert "no earlier version" in person.refused("rollback", "things")


def test_diff_counts_and_shows_keys(person: Person) -> None:
    first = _load(person, 1)
    rows = [*things(1)[1:], (77, "new", 1)]
    rows[3] = (4, "four", 1)
    person.csv("things.csv", "id,name,v", rows)
    second = person.loaded()
    found = person.does("diff", "things", first, second, "--json").json
    assert (found["added"], found["removed"], found["changed"], found["unchanged"]) == (1, 1, 1, 18)
    assert found["added_keys"] == [{"id": 77}]
    shown = person.does("diff", "things", first[-6:], second[-6:]).out
    assert '{"id":77}' in shown
    assert "column name differs in 1 row" in shown
    assert "has no version" in person.refused("diff", "things", first, "0000")


def test_verify_is_good_until_a_bit_rots(person: Person) -> None:
    version = _load(person, 1)
    assert person.does("verify").out == f"things@{version}: good\n"
    assert person.does("verify", "things", "--json").json["good"] is True
    rows = person.data_dir / "datasets" / "things" / version / "rows.mdb"
    damaged = bytearray(rows.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    rows.write_bytes(damaged)
    done = person.havok("verify", "things")
    assert done.code == 1
    assert done.out == ""
    assert "rows.mdb" in done.err
    assert "havok rollback things" in done.err
    found = person.havok("verify", "--json")
    assert found.code == 1
    assert found.json["good"] is False
