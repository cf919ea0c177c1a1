"""'Every row would be read' says why: what keeps the key or an index from being used, and what to write."""

import msgspec
import pytest

from engine.plan import PlanError
from engine.sql.front import compile_sql
from havok.keys import KeyColumn
from havok.manifest import Column, Index
from havok.settings import ParamSettings
from tests.engine.sql.test_front import AIRPORTS, FLIGHTS, compiled

NUMBERED = msgspec.structs.replace(
    FLIGHTS,
    columns=(*FLIGHTS.columns, Column("seats", "INTEGER")),
    indexes=(*FLIGHTS.indexes, Index("by_seats", (KeyColumn("seats", "int"),))),
)


def refused(where: str, **params: ParamSettings) -> str:
    with pytest.raises(PlanError) as caught:
        compile_sql(f"SELECT f.dest FROM flights f WHERE {where}", {"flights": NUMBERED, "airports": AIRPORTS}, params)
    return caught.value.detail


def test_the_key_and_the_indexes_there_are_stand_in_it() -> None:
    said = refused("delay > 60")
    assert "neither the beginning of its key (origin, day, flight) nor of an index" in said
    assert "nor of an index (by_plane: tailnum; by_seats: seats); begin with origin = :origin AND …" in said


@pytest.mark.parametrize(
    ("where", "why", "underlined"),
    [
        ("upper(tailnum) = :x", "upper(tailnum) hides tailnum from index by_plane: compare tailnum itself", None),
        ("dest = 'x' AND lower(F.Origin) IN ('a', 'b')", "hides origin from the key", "lower(F.Origin) IN ("),
        ("CAST(tailnum AS VARCHAR) || 'x' >= :x", "hides tailnum from index by_plane", None),
        ("starts_with(tailnum, :x)", "starts_with(tailnum, :x) hides tailnum from index by_plane", None),
        ("tailnum = :a OR tailnum = :b", "write tailnum IN (:a, :b) instead of OR", "tailnum = :a OR tailnum"),
        ("(tailnum = :a OR (dest = :b))", "OR is no way into index by_plane: make a service of each side", None),
        ("tailnum LIKE 'N%'", "LIKE is no way into index by_plane: for texts that begin alike write tailnum >=", None),
        ("tailnum ILIKE 'n%'", "ILIKE is no way into index by_plane: load lower(tailnum) as a column of its own", None),
        ("tailnum NOT LIKE 'N%'", "NOT is no way into index by_plane", None),
        ("NOT tailnum = :x", "NOT is no way into index by_plane", None),
        ("origin <> :x", "<> is no way into the key: say by =, IN or a range which origin is wanted", "origin"),
        ("tailnum IS NULL", "IS is no way into index by_plane", "tailnum"),
        ("tailnum = f.dest", "tailnum is compared with another column: index by_plane needs a value", None),
        ("seats > 1.5", "seats is INTEGER and compared as DECIMAL", "seats > 1.5"),
    ],
)  # fmt: skip
def test_what_hinders_is_named(where: str, why: str, underlined: str | None) -> None:
    said = refused(where)
    assert why in said
    sentence, line, marks = said.splitlines()
    assert sentence.startswith("line 1: every row of flights would be read")
    if underlined is not None:
        shown = line[marks.index("^") : len(marks)]
        assert shown.startswith(underlined)


def test_a_parameter_of_another_type_is_told_by_the_type_it_should_have() -> None:
    said = refused("seats = :seats", seats=ParamSettings(type="float"))
    assert "seats is INTEGER and compared as DOUBLE, which is no way into index by_seats: give it a INTEGER" in said


def test_an_index_that_helps_is_told_beside_it() -> None:
    said = refused("upper(tailnum) = :x AND dest = :dest")
    assert "and index it; or an index would help: indexes.by_dest = " in said


def test_a_fragment_is_cut() -> None:
    said = refused(f"CASE WHEN tailnum = '{'x' * 200}' THEN TRUE ELSE FALSE END")
    assert "… hides tailnum" in said


def test_what_opens_a_way_is_not_hindered() -> None:
    assert compiled("SELECT dest FROM flights WHERE tailnum = :t AND upper(origin) = 'JFK'").seek.index == "by_plane"
