"""Which version is to be served."""

import os
from pathlib import Path

import msgspec
import pytest

from compartments.versions.live import choose, versions
from havok.layout import dataset_dir, version_dir
from havok.manifest import MANIFEST_FILE, ROWS_FILE
from tests import snapshots


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    """Versions 1, 2, 3; the newest is live."""
    made = [snapshots.build(tmp_path, "things", {"k": {"v": str(n)}}, n) for n in (1, 2, 3)]
    snapshots.point(tmp_path, "things", made[-1])
    return made


def served(data_dir: Path, *damaged: str) -> tuple[str | None, str | None, str | None]:
    """(version, standby, fault)"""
    choice = choose(data_dir, "things", dict.fromkeys(damaged, "a row failed"))
    return choice.manifest.version if choice.manifest else None, choice.standby, choice.fault


def test_no_dataset_no_pointer(tmp_path: Path) -> None:
    assert served(tmp_path) == (None, None, None)
    snapshots.build(tmp_path, "things", {"k": {"v": "1"}})
    assert served(tmp_path) == (None, None, None), "a placed version is not a live one"
    assert len(versions(tmp_path, "things")) == 1


def test_the_pointers_version_and_the_one_before_it(tmp_path: Path, three: list[str]) -> None:
    assert served(tmp_path) == (three[2], three[1], None)
    snapshots.point(tmp_path, "things", three[1])
    assert served(tmp_path) == (three[1], three[0], None), "a newer one than the pointer's is never chosen"
    assert versions(tmp_path, "things") == three[::-1]


def test_a_damaged_one_gives_way_to_the_newest_good_one(tmp_path: Path, three: list[str]) -> None:
    version, standby, fault = served(tmp_path, three[2])
    assert (version, standby) == (three[1], three[0])
    assert fault is not None
    assert three[2] in fault
    assert three[1] in fault
    assert "havok rollback things" in fault
    version, standby, fault = served(tmp_path, three[2], three[1])
    assert (version, standby) == (three[0], None)


def test_without_a_good_one_the_last_that_served_serves_on(tmp_path: Path, three: list[str]) -> None:
    for damaged in (three, three[::-1]):
        version, standby, fault = served(tmp_path, *damaged)
        assert (version, standby) == (damaged[-1], None)
        assert fault is not None
        assert f"{damaged[-1]} is damaged: a row failed" in fault
        assert "Load again" in fault


def test_none_that_can_be_opened_is_said(tmp_path: Path, three: list[str]) -> None:
    for version in three:
        os.truncate(version_dir(tmp_path, "things", version) / ROWS_FILE, 4096)
    version, _, fault = served(tmp_path, *three)
    assert version is None
    assert fault is not None
    assert "load it again" in fault


@pytest.mark.parametrize("how", ["shorter", "longer", "gone", "manifest", "another's", "newer format", "directory"])
def test_what_can_be_told_without_reading_rows(tmp_path: Path, three: list[str], how: str) -> None:
    path = version_dir(tmp_path, "things", three[2])
    rows, manifest = path / ROWS_FILE, path / MANIFEST_FILE
    document = msgspec.json.decode(manifest.read_bytes())
    match how:
        case "shorter":
            rows.write_bytes(rows.read_bytes()[:-1])
        case "longer":
            rows.write_bytes(rows.read_bytes() + b"x")
        case "gone":
            rows.unlink()
        case "manifest":
            manifest.write_bytes(manifest.read_bytes()[:100])
        case "another's":
            manifest.write_bytes(msgspec.json.encode({**document, "dataset": "others"}))
        case "newer format":
            manifest.write_bytes(msgspec.json.encode({**document, "format": 99}))
        case "directory":
            for file in (rows, manifest):
                file.unlink()
            path.rmdir()
    version, _, fault = served(tmp_path)
    assert version == three[1]
    assert fault is not None
    assert str(tmp_path) not in fault


def test_a_quarantined_one_is_passed_over_unless_it_is_live(tmp_path: Path, three: list[str]) -> None:
    (dataset_dir(tmp_path, "things") / "quarantine.json").write_bytes(
        msgspec.json.encode({three[1]: "rolled back", three[2]: "forced"})
    )
    assert served(tmp_path) == (three[2], three[0], None)
    assert served(tmp_path, three[2])[0] == three[0]
