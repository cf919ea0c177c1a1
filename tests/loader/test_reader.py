"""Every text format reads exactly, or says which value in which line does not."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from havok.errors import LoadError
from havok.settings import LoaderSettings
from loader import duck, reader
from loader.source import locate
from tests.loader.conftest import Desk

NONE: Mapping[str, str] = {}


def read(
    session: duck.Session, base: Path, source: str, overrides: Mapping[str, str] = NONE, live: Mapping[str, str] = NONE
) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Types and rows; every error as the loader would say it."""
    relation = reader.read(session, locate(source, base), overrides, live)
    try:
        return dict(relation.columns), session.execute(relation.sql).fetchall()
    except duckdb.Error as error:
        raise LoadError(reader.explain(relation, error)) from None


def refused(session: duck.Session, base: Path, source: str, **types: Mapping[str, str]) -> str:
    with pytest.raises(LoadError) as caught:
        read(session, base, source, **types)
    assert len(caught.value.detail.splitlines()) <= 2
    return caught.value.detail


def test_csv_is_sniffed_over_the_whole_file(session: duck.Session, tmp_path: Path) -> None:
    lines = ["id,n,s", *(f"{i},{i},x" for i in range(30_000)), "30000,1.5,"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    types, rows = read(session, tmp_path, "a.csv")
    assert types == {"id": "BIGINT", "n": "DOUBLE", "s": "VARCHAR"}
    assert len(rows) == 30_001
    assert rows[-1] == (30_000, 1.5, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"id,s\n1,x\n"),
        ("bom.csv", b"\xef\xbb\xbfid,s\n1,x\n"),
        ("crlf.csv", b"id,s\r\n1,x\r\n"),
        ("semicolon.csv", b"id;s\n1;x\n"),
        ("a.tsv", b"id\ts\n1\tx\n"),
        ("a.csv.gz", gzip.compress(b"id,s\n1,x\n")),
        ("a.jsonl", b'{"id": 1, "s": "x"}\n'),
        ("a.json", b'[{"id": 1, "s": "x"}]'),
        ("a.ndjson.gz", gzip.compress(b'{"id": 1, "s": "x"}\n')),
    ],
)
def test_text_formats(session: duck.Session, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(session, tmp_path, name) == ({"id": "BIGINT", "s": "VARCHAR"}, [(1, "x")])


def test_a_header_alone_is_an_empty_table(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,s\n")
    assert read(session, tmp_path, "a.csv", live={"id": "BIGINT", "s": "DATE"}) == ({"id": "BIGINT", "s": "DATE"}, [])


def test_files_unite_by_name(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("b,a,c\n3,4,x\n")
    types, rows = read(session, tmp_path, "*.csv")
    assert types == {"a": "BIGINT", "b": "BIGINT", "c": "VARCHAR"}
    assert sorted(rows) == [(1, 2, None), (4, 3, "x")]


def test_hash_and_quotes_are_data(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,s\n#1,"a ""b"", c\nd"\n')
    assert read(session, tmp_path, "a.csv")[1] == [("#1", 'a "b", c\nd')]


def test_live_types_rule_text(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,zip,day,new\n1,00123,2020-01-01,7\n")
    live = {"id": "INTEGER", "zip": "VARCHAR", "day": "TIMESTAMP", "gone": "DATE"}
    types, rows = read(session, tmp_path, "a.csv", live=live)
    assert types == {"id": "INTEGER", "zip": "VARCHAR", "day": "TIMESTAMP", "new": "BIGINT"}
    assert rows[0][:2] == (1, "00123")
    (tmp_path / "a.jsonl").write_text('{"id": 1, "zip": 123, "new": [1, {"a": null}]}\n')
    types, rows = read(session, tmp_path, "a.jsonl", live=live)
    assert (types["id"], types["zip"], rows[0][:2]) == ("INTEGER", "VARCHAR", (1, "123"))


def test_overrides_come_before_live_types(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n123456789012345678901234567890\n")
    types, rows = read(session, tmp_path, "a.csv", {"id": "HUGEINT"}, {"id": "BIGINT"})
    assert types == {"id": "DECIMAL(38,0)"}
    assert str(rows[0][0]) == "123456789012345678901234567890"
    assert "did you mean id" in refused(session, tmp_path, "a.csv", overrides={"ID": "BIGINT"})
    assert "which DuckDB does not know" in refused(session, tmp_path, "a.csv", overrides={"id": "BIGGISH"})


@pytest.mark.parametrize(
    ("live", "value", "shown"),
    [
        ("DOUBLE", "abc", "'abc' is not a DOUBLE"),
        ("BIGINT", "abc", "'abc' is not a BIGINT"),
        ("BIGINT", "1.5", "'1.5' is not a BIGINT"),
        ("INTEGER", "1e3", "'1e3' is not an INTEGER"),
        ("DECIMAL(6,2)", "1.234", "'1.234' is not a DECIMAL(6,2)"),
        ("DATE", "2020-01-01 10:00:00", "'2020-01-01 10:00:00' is not a DATE"),
        ("TINYINT", "300", "300"),
    ],
)
def test_text_that_does_not_fit_exactly_names_its_place(
    session: duck.Session, tmp_path: Path, live: str, value: str, shown: str
) -> None:
    good = {"DATE": "2020-01-01"}.get(live, "7")
    (tmp_path / "a.csv").write_text(f"id,lat\n1,{good}\n2,{good}\n3,{value}\n")
    reason = refused(session, tmp_path, "a.csv", live={"lat": live})
    assert "a.csv, line 4" in reason
    assert "lat" in reason
    assert shown in reason


def test_whole_numbers_written_as_decimals_fit(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,m\n1.0,1.50\n2,2\n,\n")
    _, rows = read(session, tmp_path, "a.csv", live={"id": "INTEGER", "m": "DECIMAL(5,1)"})
    assert [(a, str(b)) for a, b in rows] == [(1, "1.5"), (2, "2.0"), (None, "None")]


def test_json_that_does_not_fit_names_its_place(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "n": 1}\n{"id": 2, "n": 1.5}\n')
    assert "a.jsonl, line 2: column n: '1.5' is not a BIGINT" in refused(
        session, tmp_path, "a.jsonl", live={"n": "BIGINT"}
    )
    (tmp_path / "b.jsonl").write_text('{"id": 1}\n{"id": }\n')
    reason = refused(session, tmp_path, "b.jsonl")
    assert "b.jsonl" in reason
    assert "malformed json" in reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"id,s\n1,x\n2,y,z\n", "line 3"),
        (b"id,s\n1,x\n2\n", "line 3"),
        (b"id,s\n1,\xff\xfe\n", "line 2|UTF-8"),
        (b"id,id\n1,2\n", "id stands twice"),
        (b"\x00\x01\x02\x03" * 100, ""),
    ],
)
def test_broken_csv(session: duck.Session, tmp_path: Path, content: bytes, said: str) -> None:
    import re

    (tmp_path / "a.csv").write_bytes(content)
    assert re.search(said, refused(session, tmp_path, "a.csv"))


def test_broken_parquet_and_gzip(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    assert "a.parquet" in refused(session, tmp_path, "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    assert "a.csv.gz" in refused(session, tmp_path, "a.csv.gz")


def test_select_sources(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    session.execute(f"SET file_search_path = {duck.text(str(tmp_path))}")
    assert read(session, tmp_path, "SELECT id::HUGEINT AS id FROM 'a.csv' -- end")[0] == {"id": "DECIMAL(38,0)"}
    assert read(session, tmp_path, "FROM 'a.csv'", {"id": "VARCHAR"}) == ({"id": "VARCHAR"}, [("1",)])
    assert "one SELECT" in refused(session, tmp_path, "SELECT 1; SELECT 2")
    assert "one SELECT" in refused(session, tmp_path, "SELECT 1; COPY (SELECT 1) TO 'x.csv'")
    assert "nope" in refused(session, tmp_path, "SELECT nope FROM 'a.csv'")
    assert "missing.csv" in refused(session, tmp_path, "SELECT * FROM 'missing.csv'")
    assert not (tmp_path / "x.csv").exists()


def test_wide_integers_that_do_not_fit_are_refused(session: duck.Session, tmp_path: Path) -> None:
    reason = refused(session, tmp_path, "SELECT 170141183460469231731687303715884105727::HUGEINT AS id")
    assert "DECIMAL(38,0)" in reason


def test_text_that_only_claims_to_be_json_is_refused(desk: Desk) -> None:
    table = pa.table({"id": [1, 2, 3], "j": pa.array(['{"a": 1}', "{broken", None], pa.json_(pa.utf8()))})
    pq.write_table(table, desk.config_dir / "a.parquet")
    with pytest.raises(LoadError, match="Malformed JSON"):
        desk.load("a.parquet")
    pq.write_table(table.slice(0, 1), desk.config_dir / "a.parquet")
    desk.load("a.parquet")
    assert desk.row(1) == b'{"id":1,"j":{"a": 1}}'


@pytest.mark.parametrize("name", ["d[1]/a.csv", "d?/a.csv", "d*/a.jsonl", "d[1]/a.parquet"])
def test_a_path_is_itself_and_no_pattern(desk: Desk, name: str) -> None:
    """A file found by its name must not become its neighbours', which the name would match as a pattern."""
    format_of = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}[name.rpartition(".")[2]]
    for path, value in ((name, 1), (f"d1/{name.rpartition('/')[2]}", 2)):
        (desk.config_dir / path).parent.mkdir()
        with duck.session(LoaderSettings(), desk.config_dir / "spill") as connection:
            connection.execute(
                f"COPY (SELECT {value} AS id) TO {duck.text(str(desk.config_dir / path))} (FORMAT {format_of})"
            )
    desk.load(name)
    assert desk.rows() == [{"id": 1}]
