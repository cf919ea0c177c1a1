"""Queries over columns whose names msgspec cannot match by itself."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.queries.query_program import CompiledQuery
from engine.snapshot import Snapshot, open_snapshot
from engine.sql.front import compile_sql
from havok.errors import QueryFailed
from tests.engine.making import write_version

NAMES = ('a"b', "back\\slash", "new\nline", "naïve")


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[dict[str, Snapshot]]:
    rows = [(("x",), {"k": "x", **{name: number for number, name in enumerate(NAMES)}, "also": "y"})]
    rows.append((("y",), {"k": "y", **dict.fromkeys(NAMES), "also": None}))
    columns = (*((name, "BIGINT") for name in NAMES), ("also", "VARCHAR"))
    found = open_snapshot(write_version(tmp_path / "v", [("k", "string")], rows, columns=columns, dataset="t"))
    yield {"t": found}
    found.release()


def answered(snapshots: dict[str, Snapshot], text: str) -> object:
    found = compile_sql(text, {name: snapshot.manifest for name, snapshot in snapshots.items()}, {})
    compiled = CompiledQuery(found.query, "q", [])
    rows = [row for part in compiled.bind(snapshots, 100)() for row in part]
    return msgspec.json.decode(compiled.answer.json(rows))


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES)))
def test_a_column_of_any_name(snapshots: dict[str, Snapshot], number: int, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    assert answered(snapshots, f"SELECT {quoted}, {quoted} + 1 AS more FROM t WHERE k = 'x'") == [
        {name: number, "more": number + 1}
    ]
    assert answered(snapshots, f"SELECT k, {quoted} FROM t WHERE k >= '' ORDER BY {quoted} NULLS FIRST") == [
        {"k": "y", name: None},
        {"k": "x", name: number},
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_output_of_any_name(snapshots: dict[str, Snapshot], name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    assert answered(snapshots, f"SELECT also AS {quoted} FROM t WHERE k = 'x'") == [{name: "y"}]
    assert answered(snapshots, f"SELECT count(*) AS {quoted} FROM t WHERE k >= ''") == [{name: 2}]


def test_a_lookup_by_a_column_of_any_name(snapshots: dict[str, Snapshot]) -> None:
    text = 'SELECT o."a""b", t.k FROM t LEFT JOIN t AS o ON o.k = t.also WHERE t.k >= \'\' ORDER BY t.k'
    assert answered(snapshots, text) == [{'a"b': None, "k": "x"}, {'a"b': None, "k": "y"}]


def test_columns_whose_names_cannot_stand_in_python_are_told_apart(tmp_path: Path) -> None:
    columns = (("ä", "BIGINT"), ("xc3a4", "BIGINT"), ("x_c3a4", "BIGINT"))
    row = {"k": "x", "ä": 1, "xc3a4": 2, "x_c3a4": 3}
    found = open_snapshot(
        write_version(tmp_path / "v", [("k", "string")], [(("x",), row)], columns=columns, dataset="t")
    )
    text = "SELECT \"ä\" + 0 AS a, xc3a4 + 0 AS b, x_c3a4 + 0 AS c FROM t WHERE k = 'x'"
    assert answered({"t": found}, text) == [{"a": 1, "b": 2, "c": 3}]
    found.release()


@pytest.mark.parametrize(("kind", "most"), [("DECIMAL(38,2)", "9" * 36 + ".99"), ("HUGEINT", str((1 << 127) - 1))])
def test_a_sum_that_leaves_the_widest_type_is_an_error(tmp_path: Path, kind: str, most: str) -> None:
    rows = [((name,), {"k": name, "v": msgspec.Raw(most.encode())}) for name in ("x", "y")]
    found = open_snapshot(write_version(tmp_path / "v", [("k", "string")], rows, columns=(("v", kind),), dataset="t"))
    with pytest.raises(QueryFailed):
        answered({"t": found}, "SELECT sum(v) AS s FROM t WHERE k >= ''")
    found.release()
