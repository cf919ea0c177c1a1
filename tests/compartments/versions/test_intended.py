"""A version as the next load would make it."""

import msgspec

from compartments.versions.intended import as_set, kept, lost_index
from compartments.versions.planning import Planning
from havok.keys import KeyColumn
from havok.manifest import Column, Index
from havok.settings import CompartmentSettings, DatasetSettings, ServiceSettings, Settings
from tests.compartments.versions.test_planning import manifest

BY_V = Index("by_v", (KeyColumn("v", "string"),))
BY_W = Index("by_w", (KeyColumn("w", "string"),))
LIVE = msgspec.structs.replace(manifest("things", "v", "w"), indexes=(BY_V, BY_W))
QUERY = ServiceSettings(kind="sql", sql="SELECT w FROM things WHERE v = :v", compartment="one")


def settings(**indexes: tuple[str, ...]) -> Settings:
    return Settings(
        datasets={"things": DatasetSettings(key=("id",), indexes=indexes)},
        compartments={"one": CompartmentSettings(business="x")},
        services={"q": QUERY},
    )


def test_key_and_indexes_are_the_configurations() -> None:
    found = as_set(LIVE, DatasetSettings(key=("v", "id"), indexes={"by_both": ("w", "v")}))
    assert found.key == (KeyColumn("v", "string"), KeyColumn("id", "string"))
    assert found.indexes == (Index("by_both", (KeyColumn("w", "string"), KeyColumn("v", "string"))),)
    assert (found.columns, found.version) == (LIVE.columns, LIVE.version)


def test_what_is_set_as_it_was_built_is_no_change_in_whatever_order() -> None:
    assert as_set(LIVE, DatasetSettings(key=("id",), indexes={"by_w": ("w",), "by_v": ("v",)})) == LIVE


def test_what_the_version_has_no_column_for_is_left_as_it_is() -> None:
    odd = msgspec.structs.replace(LIVE, columns=(*LIVE.columns, Column("price", "DOUBLE")))
    wanted = DatasetSettings(key=("nope",), indexes={"by_v": ("v",), "by_w": ("w",), "by_price": ("price",)})
    assert as_set(odd, wanted) == odd


def test_an_index_is_lost_by_name_or_columns() -> None:
    plan = Planning().deployment(settings(by_v=("v",), by_w=("w",)), "q", {"things": LIVE}).plan
    assert lost_index(plan, LIVE) is None
    assert lost_index(plan, msgspec.structs.replace(LIVE, indexes=(BY_V,))) is None
    assert lost_index(plan, msgspec.structs.replace(LIVE, indexes=(BY_W,))) == BY_V
    other = Index("by_v", (KeyColumn("v", "string"), KeyColumn("w", "string")))
    assert lost_index(plan, msgspec.structs.replace(LIVE, indexes=(other,))) == BY_V
    assert kept(BY_V, "things") == 'indexes.by_v = ["v"] under [datasets.things]'


def test_a_plan_that_lacks_only_a_load_says_so_and_else_what_it_lacks() -> None:
    bare = msgspec.structs.replace(LIVE, indexes=())
    planning = Planning()
    made = planning.deployment(settings(by_v=("v",)), "q", {"things": bare})
    assert made.refusal is not None
    assert made.refusal.detail == (
        "service q: it reads by an index that the live version does not have yet; build it: havok load things"
    )
    without = planning.deployment(settings(), "q", {"things": bare})
    assert without.refusal is not None
    assert "every row of things would be read" in without.refusal.detail
