"""SQL services on a running node: new versions under load, of each of the datasets a service reads."""

from typing import Any

from tests.compartments.client import Answer, Load
from tests.compartments.deadline import until
from tests.compartments.node import Node

JOIN = "SELECT t.id, t.v, o.v AS other FROM things t JOIN others o ON o.id = t.id WHERE t.id = :id"
ALL = "SELECT id, v FROM things WHERE id >= '' AND :id <> ''"
COUNT = "SELECT min(v) AS first, max(v) AS last, count(*) AS n FROM things WHERE id >= '' AND :id <> ''"


def sql(text: str, **more: Any) -> dict[str, Any]:
    return {"kind": "sql", "sql": text, "compartment": "one", **more}


def of_one_version(service: str, key: str, answer: Answer) -> bool:
    """Every row is of the versions that the header names."""
    versions = dict(pair.split("@") for pair in answer.version.split(", ")) if answer.version else {}
    if answer.status != 200:
        return False
    numbers = {name: int(version.rpartition("-")[2], 16) for name, version in versions.items()}
    if service == "join":
        (row,) = answer.data
        return bool(row["v"].startswith(f"v{numbers['things']}-") and row["other"].startswith(f"v{numbers['others']}-"))
    if service == "count":
        (row,) = answer.data
        return row["n"] == 20 and {row[end].partition("-")[0] for end in ("first", "last")} == {f"v{numbers['things']}"}
    return len(answer.data) == 20 and {row["v"].partition("-")[0] for row in answer.data} == {f"v{numbers['things']}"}


def test_versions_of_both_datasets_are_swapped_under_load(node: Node) -> None:
    """FAULTS 8, small: nothing fails, nothing is mixed."""
    node.datasets["others"] = {"key": ["id"]}
    params = {"id": {"type": "string"}}
    node.services = {
        "join": sql(JOIN),
        "all": sql(ALL, params=params),
        "count": sql(COUNT, params=params),
    }
    versions = {name: [node.load(number, name) for number in (1, 2)] for name in ("things", "others")}
    node.start()
    with Load(("127.0.0.1", node.port), ["join", "all", "count"], good=of_one_version) as load:
        for _ in range(6):
            for name in ("things", "others"):
                versions[name].reverse()
                node.swap(versions[name][0], name)
        before = load.asked
        until(lambda: load.asked > before + 50)
    assert load.failures == []
