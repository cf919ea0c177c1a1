"""The kv front: what becomes a plan, and what is refused before a request could meet it."""

from collections.abc import Mapping

import msgspec
import pytest

from engine.plan import Fields, Plan, PlanError, WholeRow
from engine.planner import plan_lookup
from havok.keys import KeyColumn
from havok.manifest import Column, Manifest
from tests.engine.making import VERSION, service_of

MANIFEST = Manifest(
    dataset="flights",
    version=VERSION,
    created="2026-11-23T03:04:05Z",
    columns=(
        Column("origin", "VARCHAR"),
        Column("year", "BIGINT"),
        Column("day", "DATE"),
        Column("late", "BOOLEAN"),
        Column("dest", "VARCHAR"),
        Column("delay", "DECIMAL(10,2)"),
    ),
    key=(KeyColumn("origin", "string"), KeyColumn("year", "int"), KeyColumn("day", "date"), KeyColumn("late", "bool")),
    rows=0,
    files={},
    source="test",
)


def plan(params: Mapping[str, object] | None = None, **settings: object) -> Plan:
    return plan_lookup("flight", service_of("flights", params=params or {}, **settings), MANIFEST)


def test_a_plan_of_the_whole_row() -> None:
    made = plan()
    assert [(param.name, param.kind) for param in made.params] == [
        ("origin", "string"),
        ("year", "int"),
        ("day", "date"),
        ("late", "bool"),
    ]
    assert made.access.output == WholeRow()
    assert [column.name for column in made.columns] == [column.name for column in MANIFEST.columns]
    assert made.datasets == ("flights",)
    assert (made.rows_max, made.access.batch_max, made.rate_rps) == (1, 1000, None)


def test_a_plan_of_some_fields_keeps_their_order() -> None:
    made = plan(fields=["delay", "dest"], rate_limit={"rps": 5, "burst": 2}, batch_max=7)
    assert made.access.output == Fields(("delay", "dest"))
    assert [(column.name, column.type) for column in made.columns] == [("delay", "DECIMAL(10,2)"), ("dest", "VARCHAR")]
    assert (made.rate_rps, made.rate_burst, made.access.batch_max) == (5.0, 2, 7)


def test_a_plan_crosses_the_bus() -> None:
    made = plan({"year": {"min": 2000, "enum": [2013, 2014], "default": 2013}}, fields=["dest"])
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Plan)
    assert again == made


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fields": ["dset"]}, ["dset", "dest"]),
        ({"params": {"orgin": {}}}, ["orgin", "origin"]),
        ({"params": {"dest": {}}}, ["dest", "not a key column"]),
        ({"params": {"year": {"type": "string"}}}, ["year", "string", "int"]),
        ({"params": {"year": {"pattern": "^2"}}}, ["year", "pattern"]),
        ({"params": {"origin": {"pattern": "("}}}, ["origin", "malformed"]),
        ({"params": {"year": {"min": "x"}}}, ["year", "int"]),
        ({"params": {"year": {"default": "2013"}}}, ["year", "int"]),
        ({"params": {"year": {"default": True}}}, ["year", "int"]),
        ({"params": {"year": {"enum": [2013, "x"]}}}, ["year", "int"]),
        ({"params": {"origin": {"min": 1.5}}}, ["origin", "string"]),
        ({"params": {"late": {"default": "yes"}}}, ["late", "bool"]),
        ({"params": {"day": {"min": "2013-02-30"}}}, ["day", "date"]),
        ({"params": {"day": {"default": 5}}}, ["day", "date"]),
        ({"params": {"year": {"default": 1999, "min": 2000}}}, ["year", "at least 2000"]),
        ({"params": {"origin": {"default": "jfk", "pattern": "^[A-Z]{3}$"}}}, ["origin", "match"]),
    ],
)
def test_what_could_fail_at_request_time_is_refused(settings: Mapping[str, object], words: list[str]) -> None:
    with pytest.raises(PlanError) as refused:
        plan(**settings)  # type: ignore[arg-type]
    assert all(word in refused.value.detail for word in ["flight", *words]), refused.value.detail
