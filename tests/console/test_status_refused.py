"""status tells of a dataset whose last load was refused: when, why, until one is not."""

import datetime

from tests.console.person import Person, things, until

GATE = "gate `max_row_change 0.4` failed: 10 rows against 20 in the live version, a change of 50.0%"


def test_a_refused_load_is_told_until_one_is_not(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    served = person.serve()
    assert "refused" not in served.status()["datasets"]["things"]
    person.csv("bad.csv", "id,name,v", things(2, rows=10))
    person.refused("load", "things", "bad.csv", "--dry-run")
    assert "refused" not in served.status()["datasets"]["things"], "a question is no load"
    person.refused("load", "things", "bad.csv")
    found = person.does("status", "--json").json["datasets"]
    assert "refused" not in found["places"]
    assert found["things"]["refused"]["reason"] == GATE
    at = datetime.datetime.fromisoformat(found["things"]["refused"]["time"])
    assert abs(datetime.datetime.now(datetime.UTC) - at) < datetime.timedelta(minutes=5)
    told = f"dataset things: its last load, at {found['things']['refused']['time']}, was refused: {GATE}"
    assert told in person.does("status").out
    assert told in person.does("datasets").err
    assert served.stop() == 0
    assert told in person.does("datasets").err, "without a node too"
    person.things(3)
    person.does("load", "things")
    assert person.does("datasets").err == ""


def test_the_first_load_of_a_node_is_told_of_like_any(person: Person) -> None:
    person.csv("things.csv", "id,name,v", things(1, rows=3))
    served = person.serve(ready=False)
    until(served.is_healthy, "healthy")
    until(lambda: "refused" in served.status()["datasets"]["things"], "told")
    assert "gate `min_rows 5` failed: the candidate has 3 rows" in person.does("status").out


def test_a_service_that_would_break_is_the_reason_in_short(person: Person) -> None:
    person.loaded("places")
    person.csv("places.csv", "country,code,title", [("de", "ber", "Berlin")])
    person.refused("load", "places")
    (places,) = [item for item in person.does("datasets", "--json").json["datasets"] if item["dataset"] == "places"]
    assert places["refused"]["reason"].startswith("a live service does not compile on it: service place: ")
    assert "\n" not in places["refused"]["reason"]
