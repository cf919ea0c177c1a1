"""What a load says: done, refused, and why."""

import pytest

from tests.console.person import Person, things


def test_a_load_is_summed_up(person: Person) -> None:
    said = person.does("load", "things")
    assert said.err == ""
    assert "things@" in said.out
    assert "20 rows" in said.out
    assert "no node is running" in said.out


def test_json_is_the_contracts(person: Person) -> None:
    found = person.does("load", "things", "--json").json
    assert {"dataset": "things", "rows": 20, "activated": True, "workers": 0}.items() <= found.items()
    assert found["seconds"] > 0
    assert person.does("versions", "things", "--json").json["versions"][0]["version"] == found["version"]


def test_a_dry_run_keeps_nothing(person: Person) -> None:
    assert "dry run" in person.does("load", "things", "--dry-run").out
    assert "has no versions" in person.refused("versions", "things")


def test_not_activated_is_kept_aside(person: Person) -> None:
    first = person.loaded()
    person.things(2)
    said = person.does("load", "things", "--no-activate").out
    found = person.does("versions", "things", "--json").json["versions"]
    assert [item["live"] for item in found] == [False, True]
    assert found[1]["version"] == first
    assert f"havok rollback things --to {found[0]['version']}" in said
    assert (
        person.does("rollback", "things", "--to", found[0]["version"][-8:], "--json").json["version"]
        == found[0]["version"]
    )


def test_upsert_merges_onto_the_live_version(person: Person) -> None:
    assert "no live version" in person.refused("load", "things", "--mode", "upsert")
    person.loaded()
    person.csv("changes.csv", "id,name,v,_deleted", [(3, "three", 9, ""), (4, "", "", "true"), (99, "new", 9, "")])
    found = person.does("load", "things", "changes.csv", "--mode", "upsert", "--json").json
    assert found["rows"] == 20
    assert "(+" not in person.does("load", "things", "changes.csv", "--mode", "upsert").out


def test_a_source_is_relative_to_where_the_person_stands(person: Person) -> None:
    inner = person.directory / "inner"
    inner.mkdir()
    person.csv("inner/other.csv", "id,name,v", things(5))
    assert person.havok("load", "things", "other.csv", "-c", "../havok.toml", cwd=inner).code == 0
    assert person.havok("load", "things", "SELECT * FROM 'other.csv'", "-c", "../havok.toml", cwd=inner).code == 0
    assert person.havok("load", "things", "-c", "../havok.toml", cwd=inner).code == 0  # the configured one, its own way


def test_a_missing_source_names_the_file(person: Person) -> None:
    assert "nowhere.csv does not exist" in person.refused("load", "things", "nowhere.csv")
    (person.directory / "things.csv").unlink()
    assert "things.csv" in person.refused("load", "things")


BAD = {
    "duplicate key": ([*things(2), (3, "again", 2)], ["unique key", "2 rows share 1 key", '"again"']),
    "string in a number column": ([*things(2)[:-1], (19, "x", "many")], ["line 21", "column v", "'many'", "BIGINT"]),
    "half the rows gone": (things(2, rows=10), ["max_row_change 0.4", "10 rows against 20", "50.0%"]),
    "null in a key": ([*things(2), ("", "no id", 2)], ["key id is not NULL", "1 row", '"no id"']),
    "null where none may be": ([*things(2), (20, "", 2)], ["not_null name", "1 row of 21"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_refused_with_rule_count_and_rows(person: Person, case: str) -> None:
    person.loaded()
    before = person.does("versions", "things", "--json").json
    rows, said = BAD[case]
    person.csv("things.csv", "id,name,v", rows)
    reason = person.refused("load", "things")
    assert [part for part in said if part not in reason] == []
    assert person.does("versions", "things", "--json").json == before


def test_a_column_that_left_is_told_as_drift(person: Person) -> None:
    person.loaded()
    person.csv("things.csv", "id,name", [row[:2] for row in things(2)])
    done = person.does("load", "things")
    assert "warning: things: column v removed (was BIGINT)" in done.err


def test_a_service_that_would_break_refuses_the_load_on_a_stopped_node(person: Person) -> None:
    person.loaded("places")
    person.csv("places.csv", "country,code,title", [("de", "ber", "Berlin")])
    reason = person.refused("load", "places")
    assert "service place" in reason
    assert "no column 'name'" in reason


def test_nonfinite_numbers_are_counted(person: Person) -> None:
    source = "SELECT i AS id, 'n' AS name, CASE WHEN i = 3 THEN 'nan'::DOUBLE ELSE i END AS v FROM range(20) t(i)"
    assert "1 NaN or infinite value became null" in person.does("load", "things", source).err
