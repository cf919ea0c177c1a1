"""Which code runs."""

from pathlib import Path

from compartments.processes.code import PACKAGES, code_id
from tests.tidiness import ROOT


def test_it_is_this_checkouts(tmp_path: Path) -> None:
    assert code_id() == code_id(ROOT)
    assert code_id() != code_id(tmp_path), "of nothing"


def test_one_letter_makes_another(tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package / "room").mkdir(parents=True)
        (tmp_path / package / "room" / "file.py").write_text("a = 1\n")
    before = code_id(tmp_path)
    assert code_id(tmp_path) == before
    (tmp_path / PACKAGES[-1] / "room" / "file.py").write_text("a = 2\n")
    changed = code_id(tmp_path)
    (tmp_path / PACKAGES[-1] / "room" / "file.py").rename(tmp_path / PACKAGES[-1] / "room" / "other.py")
    assert len({before, changed, code_id(tmp_path)}) == 3
