"""Columns that came with other types, and how they are read as before."""

import msgspec
import pytest

from compartments.versions.planning import Planning
from compartments.versions.retyping import as_they_were, retyped, with_types
from engine.plan import PlanError
from havok.keys import KeyColumn
from havok.manifest import Column
from tests.compartments.versions.test_intended import LIVE, QUERY, settings


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
