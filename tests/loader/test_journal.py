"""History and quarantine survive a crash between two writes."""

import datetime
from pathlib import Path

import pytest

from havok import layout
from loader import activation, journal

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    layout.dataset_dir(tmp_path, "things").mkdir(parents=True)
    return tmp_path


def lines(home: Path) -> list[tuple[str, str | None]]:
    return [(entry.version, entry.previous) for entry in journal.read(home, "things")]


def test_activations_are_listed_oldest_first(home: Path) -> None:
    assert lines(home) == []
    for version in ("a", "b", "a"):
        activation.point(home, "things", version, action="load", now=NOW)
    assert lines(home) == [("a", None), ("b", "a"), ("a", "b")]
    assert journal.read(home, "things")[0].time == "2026-01-02T03:04:05.000Z"


def test_a_line_without_its_swap_does_not_count_and_is_dropped(home: Path) -> None:
    activation.point(home, "things", "a", action="load", now=NOW)
    journal.append(home, "things", journal.Activation(time="t", version="b", action="load", previous="a"))
    assert lines(home) == [("a", None)]
    activation.point(home, "things", "c", action="load", now=NOW)
    assert lines(home) == [("a", None), ("c", "a")]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_line_is_dropped(home: Path, cut: int) -> None:
    activation.point(home, "things", "a", action="load", now=NOW)
    path = layout.dataset_dir(home, "things") / "history.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:cut])
    assert lines(home) == [("a", None)]
    activation.point(home, "things", "b", action="rollback", now=NOW)
    assert lines(home) == [("a", None), ("b", "a")]


def test_quarantine_is_set_and_lifted(home: Path) -> None:
    assert layout.quarantined(home, "things") == {}
    journal.quarantine(home, "things", "a", "why")
    journal.quarantine(home, "things", "b", "too")
    assert layout.quarantined(home, "things") == {"a": "why", "b": "too"}
    journal.quarantine(home, "things", "a", None)
    assert layout.quarantined(home, "things") == {"b": "too"}
