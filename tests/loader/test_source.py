"""What a source string means."""

from pathlib import Path

import pytest

from havok.errors import LoadError
from loader.source import Files, Query, locate


def make(base: Path, *names: str) -> None:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(b"x")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 AS id",
        "  with a as (select 1) select * from a;",
        "FROM 'a.csv'",
        "-- why\nSELECT 1",
        "(SELECT 1) ORDER BY 1",
    ],
)
def test_queries(tmp_path: Path, text: str) -> None:
    assert isinstance(locate(text, tmp_path), Query)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.tsv", "csv"),
        ("a.csv.gz", "csv"),
        ("a.b.jsonl", "json"),
        ("a.ndjson", "json"),
        ("a.json", "json"),
        ("a.parquet", "parquet"),
        ("select all.csv", "csv"),
    ],
)
def test_a_file_has_the_format_of_its_suffix(tmp_path: Path, name: str, kind: str) -> None:
    make(tmp_path, name)
    found = locate(name, tmp_path)
    assert isinstance(found, Files)
    assert (found.format, found.paths) == (kind, (str(tmp_path / name),))


def test_a_directory_is_all_its_files_but_bookkeeping(tmp_path: Path) -> None:
    make(
        tmp_path,
        "d/b.parquet",
        "d/a.parquet",
        "d/sub/c.parquet",
        "d/_SUCCESS",
        "d/.x.parquet",
        "d/_tmp/z.parquet",
        "d/notes.txt",
    )
    found = locate("d", tmp_path)
    assert isinstance(found, Files)
    assert [Path(path).name for path in found.paths] == ["a.parquet", "b.parquet", "c.parquet"]
    assert not found.partitioned


def test_partitions_are_seen_below_the_source_only(tmp_path: Path) -> None:
    make(tmp_path, "x=1/d/year=2020/a.parquet", "x=1/d/year=2021/a.parquet")
    below = locate("d", tmp_path / "x=1")
    assert isinstance(below, Files)
    assert below.partitioned
    single = locate("d/year=2020/a.parquet", tmp_path / "x=1")
    assert isinstance(single, Files)
    assert not single.partitioned
    globbed = locate("d/*/a.parquet", tmp_path / "x=1")
    assert isinstance(globbed, Files)
    assert globbed.partitioned
    assert len(globbed.paths) == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nope.csv", "does not exist"),
        ("*.csv", r"no file matches \*\.csv"),
        ("empty", "directory empty holds no CSV"),
        ("a.xlsx", "no reader for .xlsx; Havok reads CSV"),
        ("plain", "a file without suffix"),
        ("mixed", "mixes formats"),
        ("s3://bucket/a.parquet", "only local files"),
        ("", "neither a file nor a SELECT"),
        ("a.csv/b.csv", "does not exist"),
        ("x" * 5000, "does not exist"),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, source: str, said: str) -> None:
    make(tmp_path, "a.xlsx", "plain", "mixed/a.csv", "mixed/b.parquet", "a.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoadError, match=said) as caught:
        locate(source, tmp_path)
    assert "\n" not in caught.value.detail
