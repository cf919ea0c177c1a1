"""Where things lie: one place for each, and sockets whose paths fit."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from havok import layout
from havok.errors import NodeError


def test_a_dataset_and_its_versions(tmp_path: Path) -> None:
    home = layout.dataset_dir(tmp_path, "airports")
    assert home == tmp_path / "datasets" / "airports"
    assert layout.version_dir(tmp_path, "airports", "v1") == home / "v1"
    assert layout.node_lock(tmp_path) == tmp_path / "node.lock"
    assert layout.control_db(tmp_path) == tmp_path / "control.db"


def test_the_live_version_is_what_current_names(tmp_path: Path) -> None:
    assert layout.live_version(tmp_path, "airports") is None
    current = layout.dataset_dir(tmp_path, "airports") / "CURRENT"
    current.parent.mkdir(parents=True)
    current.write_text("20261123T030405Z-1a2b3c4d\n")
    assert layout.live_version(tmp_path, "airports") == "20261123T030405Z-1a2b3c4d"
    current.write_text("\n")
    assert layout.live_version(tmp_path, "airports") is None


def test_sockets_lie_in_a_directory_of_ours_alone(tmp_path: Path) -> None:
    run = layout.make_run_dir(tmp_path)
    assert run == layout.run_dir(tmp_path)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    run.chmod(0o755)
    layout.make_run_dir(tmp_path)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert layout.control_socket(tmp_path) != layout.bulletin_socket(tmp_path)
    assert layout.control_socket(tmp_path).startswith(f"ipc://{run}/")


@pytest.mark.parametrize("length", [1, 40, 90, 200])
def test_a_socket_path_always_fits(tmp_path: Path, length: int) -> None:
    data_dir = tmp_path / ("d" * length)
    assert len(os.fsencode(layout.run_dir(data_dir) / "w-9999999-9999.sock")) <= layout.SOCKET_PATH_BYTES_MAX


def test_a_long_data_dir_has_a_run_dir_of_its_own(tmp_path: Path) -> None:
    first, second = (tmp_path / (letter * 120) for letter in "ab")
    assert layout.run_dir(first) != layout.run_dir(second)
    assert layout.run_dir(first) == layout.run_dir(first)


def test_a_run_dir_depends_on_nothing_but_the_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command with another TMPDIR than the node's would look for its sockets elsewhere."""
    data_dir = tmp_path / ("d" * 120)
    before = layout.run_dir(data_dir)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # forget what was found before
    assert tempfile.gettempdir() == str(tmp_path)
    assert layout.run_dir(data_dir) == before
    assert before.parent == Path("/tmp")


def test_two_names_of_one_data_dir_have_one_run_dir(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert layout.run_dir(tmp_path / "link") == layout.run_dir(tmp_path / "real")


def test_a_link_in_place_of_the_run_dir_is_refused(tmp_path: Path) -> None:
    """Otherwise whoever may write to the parent chooses where our sockets are."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "run").symlink_to(elsewhere)
    with pytest.raises(NodeError, match=r"belongs to someone else; remove it or choose another data_dir"):
        layout.make_run_dir(tmp_path / "var")
