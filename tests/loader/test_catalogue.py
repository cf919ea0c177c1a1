"""Listing versions, telling damage, and finding one by a short id."""

import pytest

from havok.errors import NoSuchVersion
from loader import activation, catalogue, rollback
from tests.loader.conftest import Desk


def test_versions_newest_first_with_their_state(desk: Desk) -> None:
    assert catalogue.versions(desk.data_dir, "things") == []
    first, second, third = (desk.load(f"SELECT {i} AS id", keep_versions=9).version for i in range(3))
    rollback.rollback(desk.data_dir, "things", activation.NoNode())
    found = catalogue.versions(desk.data_dir, "things")
    assert [(v.version, v.live, v.previous, v.quarantined is not None) for v in found] == [
        (third, False, False, True),
        (second, True, False, False),
        (first, False, True, False),
    ]
    assert all(v.manifest is not None and v.damage is None and v.bytes > 1000 for v in found)


def test_ids_sort_by_age_though_loads_come_within_a_second(desk: Desk) -> None:
    loaded = [desk.load(f"SELECT {i} AS id", keep_versions=9).version for i in range(6)]
    assert loaded == sorted(loaded)
    assert catalogue.version_ids(desk.data_dir, "things") == loaded[::-1]


def test_damage_is_told_and_the_newest_good_version_found(desk: Desk) -> None:
    first, second, third, fourth = (desk.load(f"SELECT {i} AS id", keep_versions=9).version for i in range(4))
    (desk.place(fourth) / "manifest.json").write_text("{")
    with (desk.place(third) / "rows.mdb").open("ab") as file:
        file.write(b"x")
    (desk.place(second) / "rows.parquet").unlink()
    reasons = [version.damage or "" for version in catalogue.versions(desk.data_dir, "things")]
    assert "malformed" in reasons[0]
    assert "instead of" in reasons[1]
    assert "cannot be read" in reasons[2]
    assert reasons[3] == ""
    assert catalogue.newest_good(desk.data_dir, "things") == first
    assert catalogue.newest_good(desk.data_dir, "things", barring=frozenset([first])) is None


def test_find_takes_a_short_unique_end_or_beginning(desk: Desk) -> None:
    with pytest.raises(NoSuchVersion, match="has no versions"):
        catalogue.find(desk.data_dir, "things", "x")
    one, two = (desk.load(f"SELECT {i} AS id").version for i in range(2))
    assert catalogue.find(desk.data_dir, "things", one) == one
    assert catalogue.find(desk.data_dir, "things", two[-8:]) == two
    assert catalogue.find(desk.data_dir, "things", one[:17] + one[17:20]) == one
    with pytest.raises(NoSuchVersion, match="stands for 2 versions"):
        catalogue.find(desk.data_dir, "things", "20")
    with pytest.raises(NoSuchVersion, match=f"no version zzz; it has {two}, {one}"):
        catalogue.find(desk.data_dir, "things", "zzz")
