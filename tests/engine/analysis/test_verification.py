"""A twin is what its manifest says, or not to be read."""

from pathlib import Path

import pytest

from engine.analysis.verification import verify_twin
from havok.errors import DamagedVersion
from havok.layout import version_dir
from havok.manifest import TWIN_FILE
from tests import snapshots


def place(directory: Path, twin: bytes | None) -> Path:
    return version_dir(directory, "t", snapshots.build(directory, "t", {"a": {"v": "1"}}, twin=twin))


@pytest.mark.parametrize("twin", [b"", b"some rows"])
def test_a_whole_one(tmp_path: Path, twin: bytes) -> None:
    verify_twin(place(tmp_path, twin))


@pytest.mark.parametrize("content", [b"some rowr", b"some row", b"some rows!", b""])
def test_a_damaged_one(tmp_path: Path, content: bytes) -> None:
    directory = place(tmp_path, b"some rows")
    (directory / TWIN_FILE).write_bytes(content)
    with pytest.raises(DamagedVersion) as caught:
        verify_twin(directory)
    assert str(tmp_path) not in caught.value.detail


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(DamagedVersion, match=r"names no rows\.parquet"):
        verify_twin(place(tmp_path, None))
    directory = version_dir(tmp_path, "u", snapshots.build(tmp_path, "u", {"a": {"v": "1"}}, twin=b"x"))
    (directory / TWIN_FILE).unlink()
    with pytest.raises(DamagedVersion, match="No such file"):
        verify_twin(directory)
