"""Builds disappear or become versions; nothing is seen half done."""

from pathlib import Path

import pytest

from loader import workspace


def test_a_build_disappears_unless_it_was_placed(tmp_path: Path) -> None:
    with workspace.building(tmp_path) as build:
        (build / "x").write_text("1")
        assert build.name.startswith(workspace.PREFIX)
    assert list(tmp_path.iterdir()) == []
    with workspace.building(tmp_path) as build:
        (build / "x").write_text("1")
        workspace.place(build, tmp_path / "version")
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def test_only_builds_that_nobody_holds_are_orphans(tmp_path: Path) -> None:
    (tmp_path / ".build-dead").mkdir()
    (tmp_path / ".build-dead" / "rows.mdb").write_bytes(b"x")
    with workspace.building(tmp_path) as build:
        assert workspace.collect_orphans(tmp_path) == 1
        assert build.exists()
    assert list(tmp_path.iterdir()) == []


def test_replace_file_leaves_the_old_content_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "CURRENT"
    workspace.replace_file(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        workspace.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["CURRENT"]


def test_a_version_leaves_in_one_step(tmp_path: Path) -> None:
    version = tmp_path / "20200101T000000Z-00000000"
    version.mkdir()
    (version / "rows.mdb").write_bytes(b"x")
    workspace.remove_version(version)
    assert list(tmp_path.iterdir()) == []
