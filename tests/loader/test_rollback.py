"""Going back, quarantine, and what cannot be gone back to."""

import pytest

from havok import layout
from havok.errors import DamagedVersion, NoSuchVersion, OperatorError
from loader import activation, catalogue, journal, rollback
from tests.loader.conftest import Desk, Recorder

NODE = activation.NoNode()


@pytest.fixture
def three(desk: Desk) -> tuple[Desk, list[str]]:
    return desk, [desk.load(f"SELECT {i} AS id", keep_versions=9).version for i in range(3)]


def test_back_step_by_step_to_what_was_live_before(three: tuple[Desk, list[str]]) -> None:
    desk, (first, second, third) = three
    result = rollback.rollback(desk.data_dir, "things", NODE)
    assert (result.version, result.previous, desk.live) == (second, third, second)
    assert rollback.rollback(desk.data_dir, "things", NODE).version == first
    with pytest.raises(NoSuchVersion, match="no earlier version to roll back to"):
        rollback.rollback(desk.data_dir, "things", NODE)
    assert desk.live == first
    assert set(layout.quarantined(desk.data_dir, "things")) == {second, third}
    actions = [(entry.action, entry.version) for entry in journal.read(desk.data_dir, "things")]
    assert actions[-2:] == [("rollback", second), ("rollback", first)]


def test_a_quarantined_version_returns_by_force_only(three: tuple[Desk, list[str]]) -> None:
    desk, (_, second, third) = three
    rollback.rollback(desk.data_dir, "things", NODE)
    with pytest.raises(OperatorError, match=f"{third} is quarantined .* add --force"):
        rollback.rollback(desk.data_dir, "things", NODE, to=third)
    rollback.rollback(desk.data_dir, "things", NODE, to=third[-8:], force=True)
    assert desk.live == third
    assert set(layout.quarantined(desk.data_dir, "things")) == {second}


def test_what_cannot_be_gone_back_to(three: tuple[Desk, list[str]]) -> None:
    desk, (first, second, third) = three
    with pytest.raises(OperatorError, match="is live already"):
        rollback.rollback(desk.data_dir, "things", NODE, to=third)
    with pytest.raises(NoSuchVersion, match=f"no version 19990101; it has {third}, {second}, {first}"):
        rollback.rollback(desk.data_dir, "things", NODE, to="19990101")
    with pytest.raises(NoSuchVersion, match="others has no versions"):
        rollback.rollback(desk.data_dir, "others", NODE)
    path = desk.place(first) / "rows.mdb"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedVersion, match=f"{first} is damaged: rows.mdb differs from its hash"):
        rollback.rollback(desk.data_dir, "things", NODE, to=first)
    assert desk.live == third


def test_a_node_that_refuses_leaves_everything(three: tuple[Desk, list[str]]) -> None:
    desk, (_, _, third) = three
    node = Recorder({"stage": OperatorError("no memory")})
    with pytest.raises(OperatorError, match="no memory"):
        rollback.rollback(desk.data_dir, "things", node)
    assert desk.live == third
    assert layout.quarantined(desk.data_dir, "things") == {}
    assert len(catalogue.version_ids(desk.data_dir, "things")) == 3


def test_the_next_load_after_a_rollback_goes_on_from_there(three: tuple[Desk, list[str]]) -> None:
    desk, (_, second, third) = three
    rollback.rollback(desk.data_dir, "things", NODE)
    fresh = desk.load("SELECT 9 AS id", keep_versions=9)
    assert desk.manifest().parent == second
    assert catalogue.previous(desk.data_dir, "things") == second
    assert fresh.version > third


def test_going_on_to_a_version_that_was_never_live_bars_nothing(desk: Desk) -> None:
    """Else the way back from a bad new version would be closed by the command that brought it."""
    first = desk.load("SELECT 1 AS id").version
    second = desk.load("SELECT 2 AS id", activate=False).version
    rollback.rollback(desk.data_dir, "things", NODE, to=second)
    assert (desk.live, layout.quarantined(desk.data_dir, "things")) == (second, {})
    assert rollback.rollback(desk.data_dir, "things", NODE).version == first
    assert set(layout.quarantined(desk.data_dir, "things")) == {second}


def test_a_quarantine_that_cannot_be_written_stops_the_rollback(three: tuple[Desk, list[str]]) -> None:
    """Before the swap: else the bad version could return by itself."""
    desk, (_, second, third) = three
    (desk.home / "quarantine.json.new").mkdir()
    with pytest.raises(OSError, match=r"quarantine\.json\.new"):
        rollback.rollback(desk.data_dir, "things", NODE)
    assert desk.live == third
    (desk.home / "quarantine.json.new").rmdir()
    assert rollback.rollback(desk.data_dir, "things", NODE).version == second


def test_a_pointer_of_garbage_is_a_damaged_version(three: tuple[Desk, list[str]]) -> None:
    desk, (_, _, third) = three
    (desk.home / "CURRENT").write_bytes(b"\xff\xfe\x00/../x")
    assert desk.live is not None
    assert "/" not in desk.live
    result = desk.load("SELECT 7 AS id", keep_versions=9)
    assert result.warnings[0].endswith(f"the new version was measured against {third}")
