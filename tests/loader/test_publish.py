"""The numbered cycle: its order, and that a fault anywhere leaves the live version (FAULTS 11, 12)."""

import datetime
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from havok.errors import GateFailed, LoadError, NodeError, OperatorError
from havok.manifest import is_version_id
from havok.settings import QualitySettings
from loader import journal, verify, workspace
from tests.loader.conftest import SMALL, Desk, Recorder

ROOT = Path(__file__).parents[2]
FLIGHTS = ROOT / "examples" / "flights"
STEPS = ["step 1", "step 4", "step 2", "step 3", "step 5", "accept", "step 6", "step 7", "step 8", "stage"]


@pytest.mark.parametrize(
    ("source", "key", "rows"),
    [
        ("airports.csv", ("faa",), 1458),
        ("planes.csv", ("tailnum",), 3322),
        ("weather.csv", ("origin", "time_hour"), 26115),
    ],
)
def test_the_flights_tables_load_and_verify(desk: Desk, source: str, key: tuple[str, ...], rows: int) -> None:
    result = desk.load(str(FLIGHTS / source), key)
    assert (result.rows, result.activated, result.drift, result.warnings) == (rows, True, (), ())
    assert verify.verify(desk.data_dir, "things", result.version, SMALL) == []
    again = desk.load(str(FLIGHTS / source), key)
    assert again.version[-8:] == result.version[-8:]
    assert again.previous == result.version


def test_the_cycle_runs_in_its_order(desk: Desk) -> None:
    recorder = Recorder()
    result = desk.load("SELECT i AS id FROM range(5000) r(i)", node=recorder, progress=recorder)
    assert recorder.seen == [*STEPS, "step 9", "announce"]
    assert recorder.counts[-1] == (5000, 5000)
    assert is_version_id(result.version)
    assert desk.traces() == sorted([result.version, "CURRENT", "history.jsonl"])
    assert sorted(path.name for path in desk.place().iterdir()) == ["manifest.json", "rows.mdb", "rows.parquet"]
    assert result.bytes == sum(path.stat().st_size for path in desk.place().iterdir())


def test_a_dry_run_reports_and_leaves_nothing(desk: Desk) -> None:
    first = desk.load("SELECT 1 AS id, 'a' AS n")
    before = desk.traces()
    recorder = Recorder()
    result = desk.load("SELECT 1 AS id, 2 AS m UNION ALL SELECT 2, 3", dry_run=True, node=recorder, progress=recorder)
    assert recorder.seen == STEPS[:6]
    assert (result.rows, result.activated, result.previous, result.previous_rows) == (2, False, first.version, 1)
    assert result.drift == ("column n removed (was VARCHAR)", "column m added (INTEGER)")
    assert desk.traces() == before
    with pytest.raises(GateFailed):
        desk.load("SELECT 1 AS id", dry_run=True, quality=QualitySettings(min_rows=2))


def test_without_activation_the_version_waits(desk: Desk) -> None:
    first = desk.load("SELECT 1 AS id").version
    second = desk.load("SELECT 2 AS id", activate=False)
    assert not second.activated
    assert desk.live == first
    assert desk.rows(second.version) == [{"id": 2}]
    assert [entry.version for entry in journal.read(desk.data_dir, "things")] == [first]


def test_a_clock_that_steps_back_does_not_unsort_the_ids(desk: Desk) -> None:
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    first = desk.load("SELECT 1 AS id", now=noon).version
    second = desk.load("SELECT 2 AS id", now=noon - datetime.timedelta(hours=1)).version
    assert first.startswith("20260101T120000Z-")
    assert second.startswith("20260101T120001Z-")


def test_nonfinite_values_become_null_and_are_counted(desk: Desk) -> None:
    result = desk.load("SELECT 1 AS id, 'nan'::DOUBLE AS d, ['inf'::FLOAT, 1] AS l")
    assert result.nonfinite == desk.manifest().nonfinite == 2
    assert desk.rows() == [{"id": 1, "d": None, "l": [None, 1.0]}]


def test_text_is_read_as_the_live_version_has_it(desk: Desk) -> None:
    desk.csv("a.csv", ["id", "lat"], [[1, 1.5], [2, 2]])
    desk.load("a.csv")
    desk.csv("a.csv", ["id", "lat", "new"], [[1, "north", "x"]])
    with pytest.raises(LoadError, match=r"a\.csv, line 2: column lat: 'north' is not a DOUBLE\nmend the value"):
        desk.load("a.csv")
    desk.csv("a.csv", ["id", "new"], [[1, "x"]])
    assert desk.load("a.csv").drift == ("column lat removed (was DOUBLE)", "column new added (VARCHAR)")


@pytest.mark.parametrize(
    ("source", "settings", "said"),
    [
        (None, {}, "things has no source; give one"),
        ("missing.csv", {}, "missing.csv does not exist"),
        ("SELECT 1.5::DOUBLE AS id", {}, "column id has type DOUBLE and cannot be part of a key"),
        ("SELECT 1 AS ID", {}, "did you mean ID"),
        ("SELECT 1 AS id", {"columns": {"n": "INT"}}, "`columns` names n"),
        ("SELECT error('boom') AS id", {}, "boom"),
    ],
)
def test_refusals_leave_nothing(desk: Desk, source: str | None, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(LoadError, match=said) as caught:
        desk.load(source, **settings)
    assert len(caught.value.detail.splitlines()) <= 2
    assert not desk.home.exists() or desk.traces() == []


@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize("fault", [LoadError("no"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_the_live_version(desk: Desk, point: str, fault: BaseException) -> None:
    desk.load("SELECT 1 AS id")
    before = (desk.live, desk.traces(), (desk.home / "history.jsonl").read_bytes())
    recorder = Recorder({point: fault})
    with pytest.raises((LoadError, KeyboardInterrupt)):
        desk.load("SELECT i AS id FROM range(100) r(i)", node=recorder, progress=recorder)
    assert recorder.seen[-1] == point
    assert (desk.live, desk.traces(), (desk.home / "history.jsonl").read_bytes()) == before
    assert desk.load("SELECT 2 AS id").activated


def test_a_node_that_cannot_take_the_version_is_obeyed(desk: Desk) -> None:
    first = desk.load("SELECT 1 AS id").version
    for node in (Recorder({"accept": LoadError("plan airport")}), Recorder({"stage": NodeError("worker 3 says no")})):
        with pytest.raises(OperatorError, match=r"plan airport|worker 3 says no"):
            desk.load("SELECT 2 AS id", node=node)
    assert (desk.live, [name for name in desk.traces() if is_version_id(name)]) == (first, [first])


def test_an_interrupt_after_the_swap_keeps_the_new_version(desk: Desk) -> None:
    desk.load("SELECT 1 AS id")
    with pytest.raises(KeyboardInterrupt):
        desk.load("SELECT 2 AS id", node=Recorder({"announce": KeyboardInterrupt()}))
    assert desk.rows() == [{"id": 2}]
    assert [entry.version for entry in journal.read(desk.data_dir, "things")][-1] == desk.live


def test_a_damaged_live_version_does_not_stop_a_full_load(desk: Desk) -> None:
    desk.load("SELECT 1 AS id")
    (desk.place() / "manifest.json").write_bytes(b"{")
    with pytest.raises(LoadError, match=r"cannot be merged into: .* load in full"):
        desk.load("SELECT 2 AS id", mode="upsert")
    assert desk.load("SELECT 2 AS id").activated


CHILD = """
import os, sys
from pathlib import Path
from havok.settings import DatasetSettings, LoaderSettings
from loader import activation, publish

class Killer(activation.NoNode):
    def note(self, what):
        if what == sys.argv[2]:
            os.kill(os.getpid(), 9)
    def accept(self, manifest): self.note("accept")
    def stage(self, dataset, version): self.note("stage")
    def announce(self, dataset, version): self.note("announce")
    def step(self, number, name): self.note(f"step {number}")
    def rows(self, done, total): self.note("rows")

killer = Killer()
print(publish.publish(publish.LoadRequest(
    data_dir=Path(sys.argv[1]), dataset="things", settings=DatasetSettings(key=("id",), keep_versions=1),
    config_dir=Path.cwd(),
    loader=LoaderSettings(memory_mb=256, threads=1), source="SELECT i AS id, 'row ' || i AS n FROM range(2000) r(i)",
), killer, killer).version)
"""


def child(desk: Desk, point: str, *wrapper: str) -> subprocess.CompletedProcess[str]:
    command = [*wrapper, sys.executable, "-c", CHILD, str(desk.data_dir), point]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def check_recovery(desk: Desk, before: str) -> None:
    """Whatever the loader left: a whole live version now, nothing but versions after the next load."""
    assert desk.live is not None
    assert verify.verify(desk.data_dir, "things", desk.live, SMALL) == []
    assert desk.live == before or desk.manifest().rows == 2000
    listed = journal.read(desk.data_dir, "things")
    assert not listed or listed[-1].version == desk.live
    assert desk.load("SELECT 7 AS id", keep_versions=9).activated
    extra = {name for name in desk.traces() if not is_version_id(name)}
    assert extra == {"CURRENT", "history.jsonl"}
    for name in desk.traces():
        if is_version_id(name):
            assert verify.verify(desk.data_dir, "things", name, SMALL) == []


def test_a_loader_killed_at_any_step_leaves_a_valid_version(desk: Desk) -> None:
    for point in [*STEPS, "rows", "step 9", "announce"]:
        before = desk.load("SELECT 1 AS id", keep_versions=9).version
        assert child(desk, point).returncode == -9, point
        check_recovery(desk, before)


def strace_works() -> bool:
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not strace_works(), reason="strace is not installed or not permitted")
@pytest.mark.parametrize(
    ("call", "last"), [("mkdir", 2), ("pwrite64", 5), ("fsync", 9), ("rename", 3), ("unlink,unlinkat,rmdir", 4)]
)
def test_a_loader_killed_at_a_system_call_leaves_a_valid_version(desk: Desk, call: str, last: int) -> None:
    for nth in range(1, last + 1):
        desk.load("SELECT 1 AS id", keep_versions=9)  # the killed loader has a version to remove
        before = desk.load("SELECT 2 AS id", keep_versions=9).version
        inject = f"inject={call}:signal=SIGKILL:when={nth}"
        ended = child(desk, "never", "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        assert ended.returncode, f"{call} was not called {nth} times"
        check_recovery(desk, before)


@pytest.mark.skipif(not strace_works(), reason="strace is not installed or not permitted")
@pytest.mark.parametrize(
    ("call", "error"), [("mkdir", "ENOSPC"), ("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("rename", "EROFS")]
)
def test_an_error_of_a_system_call_is_told_and_undone(desk: Desk, call: str, error: str) -> None:
    before = desk.load("SELECT 1 AS id", keep_versions=9).version
    traces = desk.traces()
    failed = 0
    for nth in range(1, 10 if call == "fsync" else 4):
        inject = f"inject={call}:error={error}:when={nth}"
        ended = child(desk, "never", "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        if ended.returncode:
            failed += 1
            assert "LoadError" in ended.stderr, ended.stderr
            assert (desk.live, desk.traces()) == (before, traces)
        else:  # the call was not made that often, or its failure does no harm
            check_recovery(desk, before)
            before, traces = str(desk.live), desk.traces()
    assert failed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose data directory is 8 MiB large."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted")
    try:
        desk = Desk(tmp_path)
        desk.data_dir = place / "var"
        yield desk
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("spare_kib", [0, 4, 16, 64, 256, 1024, 4096])
def test_a_full_disk_fails_the_load_and_gives_the_space_back(small_disk: Desk, spare_kib: int) -> None:
    desk = small_disk
    desk.load("SELECT i AS id, 'row ' || i AS n FROM range(100) r(i)")
    free = os.statvfs(desk.data_dir).f_bavail * os.statvfs(desk.data_dir).f_frsize
    (desk.data_dir / "ballast").write_bytes(b"x" * max(0, free - spare_kib * 1024))
    before = (desk.live, desk.traces(), os.statvfs(desk.data_dir).f_bavail)
    with pytest.raises(LoadError, match=r"(?i)no space|disk|could not write"):
        desk.load("SELECT i AS id, md5(i::VARCHAR) || repeat('n', 400) AS n FROM range(20000) r(i)")
    shutil.rmtree(desk.data_dir / "refused", ignore_errors=True)  # the note that it was refused apart
    assert (desk.live, desk.traces(), os.statvfs(desk.data_dir).f_bavail) == before
    assert verify.verify(desk.data_dir, "things", str(desk.live), SMALL) == [] or spare_kib == 0
    (desk.data_dir / "ballast").unlink()
    assert desk.load("SELECT 2 AS id").activated


def test_an_interrupt_while_sorting_is_an_interrupt(desk: Desk) -> None:
    class Impatient(Recorder):
        def step(self, number: int, name: str) -> None:
            if number == 1:
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        desk.load(
            "SELECT i * 7919 % 10000000 AS id, md5(i::VARCHAR) AS m FROM range(10000000) r(i)", progress=Impatient()
        )
    assert desk.traces() == []


def test_orphans_of_the_dead_are_collected_by_the_next_load(desk: Desk) -> None:
    desk.load("SELECT 1 AS id")
    orphan = desk.home / f"{workspace.PREFIX}0123456789ab"
    orphan.mkdir()
    (orphan / "rows.mdb").write_bytes(b"half")
    desk.load("SELECT 2 AS id")
    assert not orphan.exists()
