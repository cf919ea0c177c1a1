"""Parameters that cannot be what they are, in compiled and in analytical services alike."""

import pytest

from engine.plan import PlanError
from engine.sql.analytical import compile_analytical
from engine.sql.front import compile_sql
from engine.sql.parameters import clash, declared_as, fitting
from havok.settings import ParamSettings
from tests.engine.sql.test_front import MANIFESTS

COUNT = 'takes an integer: params.x.type = "int"'


def refused(rest: str, *, analytical: bool, **declared: str) -> str:
    params = {name: ParamSettings(type=kind) for name, kind in declared.items()}  # type: ignore[arg-type]
    compile_it = compile_analytical if analytical else compile_sql
    with pytest.raises(PlanError) as caught:
        compile_it(f"SELECT dest FROM flights {rest}", MANIFESTS, params)
    return caught.value.detail


@pytest.mark.parametrize("analytical", [False, True])
@pytest.mark.parametrize(
    ("rest", "kind", "said"),
    [
        ("WHERE origin = 'x' LIMIT :x", "string", f"LIMIT {COUNT}"),
        ("WHERE origin = 'x' LIMIT :x", "float", f"LIMIT {COUNT}"),
        ("WHERE origin = 'x' LIMIT 3 OFFSET :x", "float", f"OFFSET {COUNT}"),
        ("WHERE tailnum = :x", "int", ':x is int by params.x.type, tailnum is VARCHAR: leave type out or say "str'),
        ("WHERE tailnum IN (:x)", "list<int>", 'tailnum is VARCHAR: leave type out or say "list<string>"'),
        ("WHERE tailnum IN ('a', :x)", "int", 'tailnum is VARCHAR: leave type out or say "string"'),
        ("WHERE origin = 'x' AND day > :x", "int", 'day is DATE: leave type out or say "date"'),
        ("WHERE origin = 'x' AND flight BETWEEN :x AND 9", "string", 'flight is INTEGER: leave type out or say "int"'),
        ("WHERE origin = 'x' AND delay > :x", "bool", 'delay is DOUBLE: leave type out or say "float"'),
    ],
)  # fmt: skip
def test_a_declared_type_that_cannot_be(rest: str, kind: str, said: str, analytical: bool) -> None:
    told = refused(rest, analytical=analytical, x=kind)
    assert said in told
    sentence, line, marks = told.splitlines()
    assert sentence.startswith("line 1: ")
    assert ":x" in line[marks.index("^") : len(marks)]


@pytest.mark.parametrize("analytical", [False, True])
@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (
            "WHERE tailnum = :x AND flight = :x",
            ":x is VARCHAR where it stands first, flight is INTEGER: take a param",
        ),
        ("WHERE tailnum = :x LIMIT :x", f"LIMIT {COUNT}"),
        ("WHERE tailnum = 'x' LIMIT :meta", "meta is taken"),
        ("WHERE tailnum = :cursor", "cursor is taken: it is every SQL service's own parameter; name it otherwise"),
        ("WHERE tailnum IN (:meta)", "as :meta_value"),
        ("WHERE tailnum = 'x' ORDER BY :x DESC", "a parameter cannot name a column; write CASE :x WHEN … THEN … END"),
    ],
)
def test_what_no_type_helps(rest: str, said: str, analytical: bool) -> None:
    assert said in refused(rest, analytical=analytical)


@pytest.mark.parametrize(
    ("rest", "kind", "said"),
    [
        (
            "WHERE origin = 'x' AND delay + :x > 3",
            "string",
            "+ takes numbers, this is VARCHAR; :x is string by param",
        ),
        ("WHERE origin = 'x' AND dest LIKE :x", "int", "write CAST(… AS VARCHAR); :x is int by params.x.type"),
        ("WHERE origin = 'x' AND starts_with(dest, :x)", "int", "(VARCHAR, VARCHAR); :x is int by params.x.type"),
    ],
)
def test_a_setting_is_named_beside_another_reason(rest: str, kind: str, said: str) -> None:
    assert said in refused(rest, analytical=False, x=kind)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("flight + flight > :x", "int"),
        ("flight / 2 > :x", "float"),
        ("flight + delay < :x", "float"),
        ("upper(dest) = :x", "string"),
        ("coalesce(day, :x) = day", "date"),
    ],
)
def test_the_hint_fits_what_is_beside_it(where: str, kind: str) -> None:
    assert f'say it: params.x = {{ type = "{kind}" }}' in refused(f"WHERE {where}", analytical=True)


def test_without_anything_beside_it_the_types_are_listed() -> None:
    said = refused("WHERE coalesce(:x, :y) > 3", analytical=True)
    assert 'params.x = { type = "…" }, one of string, int, float, bool, date, timestamp' in said


def test_types_as_a_person_writes_them() -> None:
    kinds = ("VARCHAR", "TINYINT", "HUGEINT", "DECIMAL(9,2)", "FLOAT", "BOOLEAN", "DATE", "TIMESTAMP", "BLOB")
    assert [declared_as(kind) for kind in kinds] == [
        "string", "int", "int", "float", "float", "bool", "date", "timestamp", None,
    ]  # fmt: skip
    assert fitting(["INTEGER", "DOUBLE"]) == "float"
    assert fitting(["INTEGER", "VARCHAR"]) is None
    assert fitting([]) is None
    assert clash("x", "int", "BIGINT", "at", "TIMESTAMP WITH TIME ZONE").endswith(": leave type out")
    assert clash("x", "int", "BIGINT", "tags", "VARCHAR[]").endswith("no parameter can be compared with that")
