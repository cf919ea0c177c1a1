"""Upserts replace, add and remove whole rows, and refuse what they would have to guess."""

import pytest

from havok.errors import GateFailed, LoadError
from havok.settings import QualitySettings
from tests.loader.conftest import Desk


@pytest.fixture
def base(desk: Desk) -> Desk:
    desk.csv("base.csv", ["id", "n", "zip"], [[1, "a", "01"], [2, "b", "02"], [3, "c", "x"]])
    desk.load("base.csv")
    return desk


def test_changes_replace_add_and_remove(base: Desk) -> None:
    before = base.live
    base.csv(
        "c.csv", ["zip", "id", "n", "_deleted"], [["07", 2, "B", ""], ["", 3, "", "true"], ["09", 4, "d", "false"]]
    )
    result = base.load("c.csv", mode="upsert")
    assert base.rows() == [
        {"id": 1, "n": "a", "zip": "01"},
        {"id": 2, "n": "B", "zip": "07"},
        {"id": 4, "n": "d", "zip": "09"},
    ]
    assert (result.rows, base.manifest().mode, base.manifest().parent) == (3, "upsert", before)
    assert [column.name for column in base.manifest().columns] == ["id", "n", "zip"]
    assert result.drift == ()


def test_a_removed_key_that_is_not_there_is_nothing(base: Desk) -> None:
    base.csv("c.csv", ["id", "n", "zip", "_deleted"], [[9, "", "", "true"]])
    assert base.load("c.csv", mode="upsert").rows == 3


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (["id", "n"], [1, "a"], "lacks zip; add the columns, or load in full"),
        (["id", "n", "zip", "extra"], [1, "a", "0", "?"], "column extra is not in the live version"),
        (["id", "N", "zip"], [1, "a", "0"], "did you mean n"),
        (["id", "n", "zip"], ["x", "a", "0"], "line 2: column id: 'x' is not a BIGINT"),
        (["id", "n", "zip", "_deleted"], [1, "a", "0", "maybe"], "maybe"),
    ],
)
def test_other_shapes_are_refused(base: Desk, header: list[str], row: list[object], said: str) -> None:
    before = (base.live, base.traces())
    base.csv("c.csv", header, [row])
    with pytest.raises(LoadError, match=said):
        base.load("c.csv", mode="upsert")
    assert (base.live, base.traces()) == before


def test_a_key_twice_among_the_changes(base: Desk) -> None:
    base.csv("c.csv", ["id", "n", "zip"], [[2, "x", "0"], [2, "y", "0"]])
    with pytest.raises(GateFailed, match="2 rows share 1 key"):
        base.load("c.csv", mode="upsert")


def test_a_null_key_among_the_changes(base: Desk) -> None:
    base.csv("c.csv", ["id", "n", "zip", "_deleted"], [["", "x", "0", "false"]])
    with pytest.raises(GateFailed, match="key id is not NULL"):
        base.load("c.csv", mode="upsert")


def test_gates_judge_the_merged_table(base: Desk) -> None:
    base.csv("c.csv", ["id", "n", "zip", "_deleted"], [[1, "", "", "true"], [2, "", "", "true"]])
    with pytest.raises(GateFailed, match="the candidate has 1 rows"):
        base.load("c.csv", mode="upsert", quality=QualitySettings(min_rows=2))


def test_without_a_live_version(desk: Desk) -> None:
    desk.csv("c.csv", ["id"], [[1]])
    with pytest.raises(LoadError, match="no live version to upsert into; load it once with `--mode full`"):
        desk.load("c.csv", mode="upsert")


def test_another_key_takes_a_full_load(base: Desk) -> None:
    base.csv("c.csv", ["id", "n", "zip"], [[2, "x", "0"]])
    with pytest.raises(LoadError, match=r"the key of things is \(n\) but its live version's is \(id\); load in full"):
        base.load("c.csv", ("n",), mode="upsert")


def test_parquet_changes_come_in_the_live_types(base: Desk) -> None:
    base.load("SELECT 2::TINYINT AS id, 'B' AS n, 7 AS zip", mode="upsert")
    assert base.rows()[1] == {"id": 2, "n": "B", "zip": "7"}
    assert base.manifest().columns[0].type == "BIGINT"


@pytest.mark.parametrize(
    ("column", "changed", "said"),
    [
        ("n", "1.7::DOUBLE", "column n: '1.7' is not a BIGINT"),
        ("n", "'1.7'", "column n: '1.7' is not a BIGINT"),
        ("d", "TIMESTAMP '2013-01-01 12:00:00'", "column d: '2013-01-01 12:00:00' is not a DATE"),
        ("d", "'2013-01-01 12:00:00'", "column d: '2013-01-01 12:00:00' is not a DATE"),
        ("c", "1.239::DECIMAL(4,3)", r"column c: '1.239' is not a DECIMAL\(6,2\)"),
        ("c", "'1.239'", r"column c: '1.239' is not a DECIMAL\(6,2\)"),
        ("l", "[1.5]", "column l: .* is not a BIGINT"),
    ],
)
@pytest.mark.parametrize("written", [True, False])
def test_typed_changes_are_never_rounded(desk: Desk, column: str, changed: str, said: str, written: bool) -> None:
    columns = {"id": "1", "n": "1::BIGINT", "d": "DATE '2013-01-01'", "c": "1.25::DECIMAL(6,2)", "l": "[1::BIGINT]"}

    def select(values: dict[str, str]) -> str:
        return "SELECT " + ", ".join(f"{value} AS {name}" for name, value in values.items())

    desk.load(select(columns))
    before = (desk.rows(), desk.traces())
    source = select(columns | {column: changed})
    if written:
        desk.parquet("c.parquet", source)
    with pytest.raises(LoadError, match=said):
        desk.load("c.parquet" if written else source, mode="upsert")
    assert (desk.rows(), desk.traces()) == before


def test_typed_changes_of_another_type_that_lose_nothing(desk: Desk) -> None:
    desk.load("SELECT 1::BIGINT AS id, 1.25::DECIMAL(6,2) AS c, DATE '2013-01-01' AS d, 'x' AS s, 0.5::FLOAT AS f")
    desk.load("SELECT 2.0 AS id, '7.5' AS c, TIMESTAMP '2013-01-02' AS d, 5 AS s, 0.1::DOUBLE AS f", mode="upsert")
    assert desk.rows()[1] == {"id": 2, "c": 7.5, "d": "2013-01-02", "s": "5", "f": 0.10000000149011612}


def test_a_rotten_twin_is_not_merged_into(base: Desk) -> None:
    """Else a flipped bit of the old version would be sealed anew in the next, and pass for good."""
    path = base.place() / "rows.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    base.csv("c.csv", ["id", "n", "zip"], [[2, "B", "07"]])
    with pytest.raises(LoadError, match=r"damaged \(rows.parquet differs from its hash .*; load in full"):
        base.load("c.csv", mode="upsert")


def test_columns_may_have_any_name(desk: Desk) -> None:
    """Those that a query of the loader's might give its own columns among them."""
    desk.load(
        "SELECT 'x' || i AS n, i AS k, i % 3 AS b, 0 AS s FROM range(50) t(i)", key=("n",), indexes={"by_b": ("b",)}
    )
    desk.load("SELECT 'x1' AS n, 9 AS k, 9 AS b, 0 AS s", key=("n",), mode="upsert", indexes={"by_b": ("b",)})
    assert desk.row("x1") == b'{"n":"x1","k":9,"b":9,"s":0}'
    with pytest.raises(GateFailed, match="2 rows share 1 key"):
        desk.load("SELECT 5 AS n UNION ALL SELECT 5", key=("n",))
