"""Old versions leave, those that are needed or read stay."""

import pytest

from loader import catalogue, locks
from loader.retention import surplus
from tests.loader.conftest import Desk

NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("here", "keep", "needed", "quarantined", "removed"),
    [
        ("edcba", 3, "ed", "", "ab"),
        ("edcba", 5, "ed", "", ""),
        ("edcba", 1, "ed", "", "abc"),
        ("edcba", 3, "ab", "", "cd"),
        ("edcba", 3, "ec", "d", "da"),
        ("edcba", 4, "ec", "d", "d"),
        ("edcba", 0, "e", "", "abcd"),
        ("", 3, "", "", ""),
    ],
)
def test_surplus(here: str, keep: int, needed: str, quarantined: str, removed: str) -> None:
    found = surplus(list(here), keep=keep, needed=frozenset(needed), quarantined=frozenset(quarantined))
    assert found == list(removed)


def test_loads_keep_the_newest_the_live_and_the_previous(desk: Desk) -> None:
    versions = [desk.load(f"SELECT {i} AS id", keep_versions=2).version for i in range(5)]
    kept = [name for name in desk.traces() if name[0] == "2"]
    assert kept == versions[-2:]


def test_a_version_in_use_stays_until_it_is_not(desk: Desk) -> None:
    first = desk.load("SELECT 1 AS id", keep_versions=1).version
    with locks.lease(desk.place(first)):
        for i in range(2, 5):
            desk.load(f"SELECT {i} AS id", keep_versions=1)
        assert desk.place(first).exists()
    assert first in desk.load("SELECT 9 AS id", keep_versions=1).removed
    assert not desk.place(first).exists()


def test_a_version_that_was_only_placed_stays_until_it_is_wanted(desk: Desk) -> None:
    for number in range(2):
        desk.load(f"SELECT {number} AS id", keep_versions=2)
    placed = desk.load("SELECT 7 AS id", keep_versions=2, activate=False)
    assert placed.version in catalogue.version_ids(desk.data_dir, "things")
    assert placed.version not in placed.removed
    again = desk.load("SELECT 8 AS id", keep_versions=2, activate=False)
    assert again.removed == (placed.version,)
