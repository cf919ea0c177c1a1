"""A version as the next load would make it."""

import msgspec
import pytest

from compartments.intended import as_set, as_they_were, kept, lost_index, retyped, with_types
from compartments.planning import Planning
from engine.plan import PlanError
from havok.keys import KeyColumn
from havok.manifest import Column, Index
from havok.settings import CompartmentSettings, DatasetSettings, ServiceSettings, Settings
from tests.compartments.test_planning import manifest

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
    assert kept(BY_V, "things") == '[datasets.things] indexes.by_v = ["v"]'


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


def test_columns_get_back_the_types_they_had_in_key_and_indexes_too() -> None:
    after = msgspec.structs.replace(
        LIVE,
        columns=(Column("id", "BIGINT"), Column("v", "DOUBLE"), Column("new", "DATE")),
        key=(KeyColumn("id", "int"),),
        indexes=(),
    )
    assert retyped(LIVE, after) == {"id": "VARCHAR", "v": "VARCHAR"}
    back = with_types(after, {"id": "VARCHAR"})
    assert [column.type for column in back.columns] == ["VARCHAR", "DOUBLE", "DATE"]
    assert back.key == LIVE.key
    assert as_they_were(after, {"id": "VARCHAR"}, {"odd name": "INT"}) == (
        "id is BIGINT now and was VARCHAR; if its values allow it, read it as before: "
        '[datasets.things] columns = { "odd name" = "INT", id = "VARCHAR" }'
    )


def test_only_the_columns_that_help_are_told_and_only_where_they_do() -> None:
    live = msgspec.structs.replace(LIVE, columns=(*LIVE.columns, Column("n", "BIGINT")))
    after = with_types(live, {"n": "VARCHAR", "w": "INTEGER"})
    service = msgspec.structs.replace(QUERY, sql="SELECT n + 1 AS more FROM things WHERE v = :v")
    made = msgspec.structs.replace(settings(by_v=("v",), by_w=("w",)), services={"q": service})
    with pytest.raises(PlanError, match=r'n is VARCHAR now and was BIGINT.* columns = \{ n = "BIGINT" \}$'):
        Planning().accept(made, {"things": live}, after)
    gone = msgspec.structs.replace(after, columns=after.columns[:-1])
    with pytest.raises(PlanError) as caught:
        Planning().accept(made, {"things": live}, gone)
    assert "columns =" not in caught.value.detail
