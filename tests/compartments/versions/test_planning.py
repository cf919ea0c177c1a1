"""Settings and live versions → what workers are asked for."""

import datetime

import msgspec

from compartments.versions.planning import Planning
from havok.keys import KeyColumn
from havok.manifest import Column, Manifest, version_id
from havok.settings import (
    CompartmentSettings,
    DatasetSettings,
    ParamSettings,
    ServiceSettings,
    Settings,
    WorkerCount,
)

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


def manifest(dataset: str = "things", *columns: str) -> Manifest:
    return Manifest(
        dataset=dataset,
        version=version_id(NOW, "0" * 8),
        created="",
        columns=(Column("id", "VARCHAR"), *(Column(name, "VARCHAR") for name in columns or ("v",))),
        key=(KeyColumn("id", "string"),),
        rows=1,
        files={},
        source="",
    )


SETTINGS = Settings(
    datasets={"things": DatasetSettings(key=("id",)), "others": DatasetSettings(key=("id",))},
    compartments={"one": CompartmentSettings(business="x", workers=WorkerCount(3, 4))},
    services={
        "whole": ServiceSettings(kind="kv", dataset="things", compartment="one"),
        "field": ServiceSettings(kind="kv", dataset="things", compartment="one", fields=("v",)),
        "typed": ServiceSettings(
            kind="kv", dataset="things", compartment="one", params={"id": ParamSettings(type="string")}
        ),
        "other": ServiceSettings(kind="kv", dataset="others", compartment="one"),
    },
)


def test_a_deployment_names_plan_and_versions() -> None:
    made = Planning().deployment(SETTINGS, "field", {"things": manifest()})
    assert made.plan is not None
    assert made.plan.service == "field"
    assert made.versions == (("things", manifest().version),)
    assert (made.compartment, made.refusal) == ("one", None)


def test_without_a_version_it_says_how_to_load_one() -> None:
    made = Planning().deployment(SETTINGS, "other", {})
    assert made.plan is None
    assert made.refusal is not None
    assert made.refusal.code == "no_version"
    assert "havok load others" in made.refusal.detail


def test_a_plan_that_does_not_compile_is_a_refusal_with_the_reason() -> None:
    made = Planning().deployment(SETTINGS, "field", {"things": manifest("things", "w")})
    assert made.plan is None
    assert made.refusal is not None
    assert made.refusal.code == "bad_plan"
    assert "'v'" in made.refusal.detail


def test_every_service_has_one_and_equal_settings_make_equal_ones() -> None:
    live = {"things": manifest()}
    assert list(Planning().deployments(SETTINGS, live)) == ["whole", "field", "typed", "other"]
    assert Planning().deployments(SETTINGS, live) == Planning().deployments(SETTINGS, {"things": manifest()})
    assert len({*Planning().deployments(SETTINGS, live).values()}) == 4, "deployments are dictionary keys"


def test_a_dataset_is_read_by() -> None:
    assert Planning().dependents(SETTINGS, "things") == ["whole", "field", "typed"]
    assert Planning().dependents(SETTINGS, "none") == []


def test_faults_of_a_schema_are_told_before_it_goes_live() -> None:
    live = {"things": manifest()}
    assert Planning().refusals_on(SETTINGS, live, manifest()) == ({}, {})
    broken, faulty = Planning().refusals_on(SETTINGS, live, manifest("things", "w"))
    assert (list(broken), faulty) == (["field"], {})
    assert "service field" in broken["field"]
    broken, faulty = Planning().refusals_on(SETTINGS, {}, manifest("things", "w"))
    assert (broken, list(faulty)) == ({}, ["field"]), "a first load breaks nothing, and is told of"


def test_an_analytical_service_reads_what_duckdb_says_it_reads() -> None:
    """A CTE may have a dataset's name, and what another parser cannot read is no reason to refuse it."""
    for sql in (
        "WITH things AS (SELECT id FROM things) SELECT id FROM things",
        "SELECT id, (WITH others AS (SELECT 1 AS n) SELECT n FROM others) AS n FROM things",
        "SELECT x'ab' AS b FROM things",
    ):
        service = ServiceSettings(kind="sql", sql=sql, compartment="one", analytical=True)
        settings = Settings(datasets=SETTINGS.datasets, compartments=SETTINGS.compartments, services={"q": service})
        planning = Planning()
        made = planning.deployment(settings, "q", {"things": manifest()})
        assert made.refusal is None, (sql, made.refusal)
        assert made.versions == (("things", manifest().version),)
        assert planning.dependents(settings, "things") == ["q"]


def test_a_deployment_knows_the_priority_of_its_compartment() -> None:
    """With a plan or without: workers of other compartments go by it."""
    high = msgspec.structs.replace(SETTINGS.compartments["one"], priority="high")
    raised = msgspec.structs.replace(SETTINGS, compartments={"one": high})
    planning = Planning()
    for settings, priority in ((SETTINGS, "medium"), (raised, "high"), (SETTINGS, "medium")):
        for live in ({}, {"things": manifest()}):
            assert planning.deployment(settings, "whole", live).priority == priority
