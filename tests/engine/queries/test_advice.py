"""Which index would be cheaper, and that a version which has it is told of none."""

import msgspec
import pytest

from engine.plan import PlanError
from engine.queries.advice import cheaper_index, setting
from engine.queries.query import Query
from engine.sql.front import compile_sql
from havok.keys import KeyColumn, KeyKind
from havok.manifest import Column, Index, Manifest

KINDS: dict[str, KeyKind] = {"VARCHAR": "string", "INTEGER": "int", "DATE": "date"}
FLIGHTS = Manifest(
    dataset="flights", version="v", created="", rows=1, files={}, source="test",
    columns=tuple(
        Column(name, kind)
        for name, kind in (
            ("origin", "VARCHAR"), ("day", "DATE"), ("flight", "INTEGER"), ("tailnum", "VARCHAR"), ("dest", "VARCHAR"),
            ("delay", "DOUBLE"), ("hour", "INTEGER"),
        )
    ),
    key=(KeyColumn("origin", "string"), KeyColumn("day", "date"), KeyColumn("flight", "int")),
    indexes=(Index("by_plane", (KeyColumn("tailnum", "string"),)),),
)  # fmt: skip
NEW = "indexes."


def compiled(sql: str, manifest: Manifest = FLIGHTS) -> Query:
    return compile_sql(sql, {"flights": manifest}, {}).query


def with_index(*names: str) -> Manifest:
    kinds = {column.name: KINDS[column.type] for column in FLIGHTS.columns if column.type in KINDS}
    made = Index("advised", tuple(KeyColumn(name, kinds[name]) for name in names))
    return msgspec.structs.replace(FLIGHTS, indexes=(*FLIGHTS.indexes, made))


CHEAPER = {
    "origin = :o AND dest = :d": ("origin", "dest"),
    "origin = :o AND hour > 5": ("origin", "hour"),
    "origin = :o AND day > :d AND dest = :t": ("origin", "dest", "day"),
    "origin = :o ORDER BY hour LIMIT 5": ("origin", "hour"),
    "origin = :o AND dest = :d ORDER BY day DESC LIMIT 5": ("origin", "dest"),
    "dest = :d": ("dest",),
    "dest IN (:d) ORDER BY hour LIMIT 5": ("dest",),
    "dest = :d AND hour BETWEEN 5 AND 7": ("dest", "hour"),
    "dest = :d ORDER BY hour LIMIT 5": ("dest", "hour"),
    "hour > :h ORDER BY dest LIMIT 5": ("hour",),
    "hour > :h AND delay = 5.0": ("hour",),
}


@pytest.mark.parametrize("where", CHEAPER)
def test_the_advised_index_is_taken_and_nothing_more_is_advised(where: str) -> None:
    sql = f"SELECT flight FROM flights WHERE {where}"
    wanted = CHEAPER[where]
    if where.startswith("origin"):
        advice = cheaper_index(compiled(sql))
        assert advice is not None
        assert advice.columns == wanted
    else:
        with pytest.raises(PlanError) as caught:
            compiled(sql)
        assert f"= {list(wanted)}".replace("'", '"') in caught.value.detail
    after = compiled(sql, with_index(*wanted))
    assert after.seek.index == "advised"
    assert cheaper_index(after) is None


@pytest.mark.parametrize(
    "where",
    [
        "origin = :o",
        "origin = :o AND delay > 5",
        "origin = :o ORDER BY hour DESC LIMIT 5",
        "tailnum = :t",
        "origin = :o AND day = :d AND flight = :f AND dest = :x",
    ],
)
def test_what_no_index_helps(where: str) -> None:
    assert cheaper_index(compiled(f"SELECT dest FROM flights WHERE {where}")) is None


@pytest.mark.parametrize(
    "where", ["delay > 5", "upper(dest) = :d", "dest = :d OR hour = 3", "true ORDER BY hour LIMIT 3"]
)
def test_a_refusal_advises_no_index_that_would_not_be_taken(where: str) -> None:
    with pytest.raises(PlanError) as caught:
        compiled(f"SELECT dest FROM flights WHERE {where}")
    assert "indexes" not in caught.value.detail
    assert "begin with origin = :origin AND …" in caught.value.detail


def test_the_setting_can_stand_beside_others_and_finds_a_free_name() -> None:
    advice = cheaper_index(compiled("SELECT flight FROM flights WHERE origin = :o AND day > :d AND dest = :t"))
    assert advice is not None
    assert setting(advice, FLIGHTS) == NEW + 'by_origin_dest_day = ["origin", "dest", "day"] under [datasets.flights]'
    taken = msgspec.structs.replace(FLIGHTS, indexes=(Index("by_origin_dest_day", FLIGHTS.key),))
    assert setting(advice, taken).startswith(
        NEW + 'by_origin_dest_day_2 = ["origin", "dest", "day"] under [datasets.flights]'
    )
    odd = msgspec.structs.replace(advice, columns=("Über Größe",))
    assert odd.name == "by_ber_gr_e"
