"""One change of a dataset at a time; a version in use is seen to be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from havok.errors import LoadError
from loader import locks
from tests.loader.conftest import Desk


def test_a_second_load_is_refused_at_once_naming_the_first(desk: Desk) -> None:
    desk.csv("a.csv", ["id"], [[1]])
    with (
        locks.dataset_lock(desk.data_dir, "things"),
        pytest.raises(LoadError, match=f"things is being loaded or rolled back by process {os.getpid()}"),
    ):
        desk.load("a.csv")
    assert desk.load("a.csv").activated


def test_a_dead_process_holds_no_lock(desk: Desk) -> None:
    script = "import sys, os; from pathlib import Path; from loader import locks\n"
    script += "with locks.dataset_lock(Path(sys.argv[1]), 'things'): os.kill(os.getpid(), 9)"
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script, str(desk.data_dir)], cwd=root, check=False)
    assert ended.returncode == -9
    with locks.dataset_lock(desk.data_dir, "things") as directory:
        assert directory == desk.home


def test_other_datasets_are_not_held(desk: Desk) -> None:
    with locks.dataset_lock(desk.data_dir, "things"), locks.dataset_lock(desk.data_dir, "others"):
        pass


def test_a_version_is_unused_once_every_lease_is_back(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    with locks.lease(tmp_path), locks.lease(tmp_path), locks.unused(manifest) as free:
        assert not free
    with locks.unused(manifest) as free:
        assert free
    with locks.unused(tmp_path / "gone") as free:
        assert free


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LoadError, match="cannot be written"), locks.dataset_lock(tmp_path / "file", "things"):
        pass
