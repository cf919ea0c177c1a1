"""A bounded session, safe quoting, and errors short enough to read."""

from pathlib import Path

import duckdb
import pytest

from havok.errors import LoadError
from havok.settings import LoaderSettings
from loader import duck


@pytest.mark.parametrize("identifier", ["a", "Größe", 'say "x"', "a b", "select", "'", "a;--"])
def test_names_and_texts_survive_quoting(session: duck.Session, identifier: str) -> None:
    relation = session.sql(f"SELECT {duck.text(identifier)} AS {duck.name(identifier)}")
    assert relation.columns == [identifier]
    assert relation.fetchall() == [(identifier,)]


def test_text_refuses_a_nul() -> None:
    with pytest.raises(LoadError, match="NUL"):
        duck.text("a\x00b")


def test_session_is_bounded_and_fetches_no_extension(tmp_path: Path) -> None:
    with duck.session(LoaderSettings(memory_mb=400, threads=8), tmp_path / "spill") as connection:
        settings = dict(duck.rows(connection, "SELECT name, value FROM duckdb_settings()"))
        assert settings["memory_limit"] == "400.0 MiB"
        assert settings["threads"] == "2"
        assert settings["TimeZone"] == "UTC"
        with pytest.raises(LoadError):
            duck.rows(connection, "SELECT * FROM read_parquet('https://example.invalid/x.parquet')")


def test_too_little_memory_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(LoadError, match=r"loader\.memory_mb = 100 is too little"),
        duck.session(LoaderSettings(memory_mb=100), tmp_path),
    ):
        pass


def test_relative_paths_start_at_the_search_directory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    with duck.session(LoaderSettings(), tmp_path / "spill", tmp_path) as connection:
        assert duck.one(connection, "SELECT x FROM 'a.csv'") == (1,)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM (SELECT 1 AS note)", "nope"),
        ("SELEKT 1", 'syntax error at or near "SELEKT"'),
        ("SELECT 'abc'::INT", "Could not convert string 'abc'"),
        ("SELECT * FROM missing_table", "missing_table"),
    ],
)
def test_errors_are_one_or_two_lines(session: duck.Session, sql: str, said: str) -> None:
    with pytest.raises(duckdb.Error) as caught:
        session.execute(sql)
    short = duck.explain(caught.value)
    assert said in short
    assert len(short.splitlines()) <= 2
    assert "LINE 1" not in short
