"""The note of a refused load."""

import datetime
from pathlib import Path

import pytest

from havok.errors import LoadError
from havok.layout import RefusedLoad, refusal_file, refused_load
from loader import locks, refusals
from tests.loader.conftest import Desk

NOW = datetime.datetime(2026, 11, 23, 3, 4, 5, 678, datetime.UTC)


def test_it_is_one_line_without_rows_and_fragments() -> None:
    detail = "things: the candidate was refused and nothing changed\ngate `a` failed: 1\n    {}\ngate `b` failed: 2"
    assert refusals.shortened(detail) == "gate `a` failed: 1; gate `b` failed: 2"
    assert refusals.shortened("    only") == "    only"
    assert len(refusals.shortened("x" * 5000)) == refusals.REASON_CHARS_MAX


def test_it_stands_until_a_load_is_not_refused(desk: Desk) -> None:
    desk.csv("a.csv", ["id"], [[1]])
    with pytest.raises(LoadError, match="does not exist"):
        desk.load("none.csv", now=NOW)
    found = refused_load(desk.data_dir, "things")
    assert found is not None
    assert found.time == "2026-11-23T03:04:05Z"
    assert "none.csv does not exist" in found.reason
    assert desk.traces() == []
    desk.load("a.csv", dry_run=True)
    assert refused_load(desk.data_dir, "things") == found
    desk.load("a.csv")
    assert refused_load(desk.data_dir, "things") is None


def test_a_load_that_did_not_begin_was_not_refused(desk: Desk) -> None:
    with locks.dataset_lock(desk.data_dir, "things"), pytest.raises(LoadError, match="is being loaded"):
        desk.load("none.csv")
    with pytest.raises(LoadError, match="has no source"):
        desk.load(None)
    with pytest.raises(LoadError):
        desk.load("none.csv", dry_run=True)
    assert refused_load(desk.data_dir, "things") is None


def test_a_note_that_cannot_be_written_or_read_is_forgone(tmp_path: Path) -> None:
    (tmp_path / "refused").write_text("")
    refusals.record(tmp_path, "things", "reason", NOW)
    assert refused_load(tmp_path, "things") is None
    (tmp_path / "refused").unlink()
    refusals.record(tmp_path, "things", "reason", NOW)
    assert refused_load(tmp_path, "things") == RefusedLoad("2026-11-23T03:04:05Z", "reason")
    refusal_file(tmp_path, "things").write_bytes(b"{")
    assert refused_load(tmp_path, "things") is None
