"""What workers die of is taken back: a version, a plan, one change after the other."""

import signal
import struct
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from compartments.facts.deployment import Deployment
from compartments.versions.reversals import Reversals
from compartments.versions.suspects import DEATHS, WINDOW_S, YOUNG_S
from engine.plan import Plan, Point
from havok.layout import version_dir
from havok.manifest import MANIFEST_FILE, ROWS_FILE, encode_manifest, hash_file, read_manifest
from tests import snapshots
from tests.compartments.client import Load
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal
from tests.compartments.processes.test_fleet import answered

PAGE_BYTES, FLAGS_AT, LOWER_AT, BRANCH = 4096, 10, 12, 1


def item(service: str, plan: int = 1, version: str = "v1", compartment: str = "one") -> Deployment:
    made = Plan(service, compartment, "kv", Point("things", ()), (), rows_max=plan)
    return Deployment(service, compartment, made, (("things", version),))


def die(reversals: Reversals, at: float, times: int = DEATHS, **more: Any) -> list[str]:
    """Deaths in a row; the services whose changes are taken back by the last of them."""
    blamed: tuple[Any, ...] = ()
    for number in range(times):
        assert blamed == ()
        blamed = reversals.died(more.get("compartment", "one"), more.get("lived_s", 0.3), at + number / 10)
    return [change.service for change in blamed]


def deployed(*items: Deployment) -> dict[str, Deployment]:
    return {item.service: item for item in items}


def test_what_was_there_from_the_start_is_no_suspect() -> None:
    reversals = Reversals()
    reversals.note(deployed(item("a")), 0)
    assert die(reversals, 1) == []


def test_the_newest_change_of_the_compartment_goes_first_then_the_one_before() -> None:
    reversals = Reversals()
    for at, now in enumerate((item("a"), item("a", 2), item("a", 2, "v2"))):
        reversals.note(deployed(now, item("other", at, compartment="two")), at)
    (change,) = [change for _ in range(DEATHS) for change in reversals.died("one", 0.3, 5)]
    assert change.new_versions == (("things", "v2"),)
    assert die(reversals, 6, DEATHS - 1) == [], "it gets as many deaths again to show that it helped"
    (change,) = reversals.died("one", 0.3, 7)
    assert (change.new_versions, change.after.plan) == ((), item("a", 2).plan)
    assert die(reversals, 8) == [], "nothing is left to take back"


def test_what_was_put_back_is_no_suspect() -> None:
    """Else its own reversal would be the newest change, and what kills would be served again."""
    reversals = Reversals()
    reversals.note(deployed(item("a")), 0)
    wanted = deployed(item("a", 2))
    reversals.note(wanted, 1)
    for change in [change for _ in range(DEATHS) for change in reversals.died("one", 0.3, 2)]:
        reversals.hold_back(change)
    reversals.note(reversals.overlaid(wanted), 3, suspect=False)
    assert die(reversals, 4) == []
    assert reversals.overlaid(wanted) == deployed(item("a"))


def test_changes_of_one_moment_go_together() -> None:
    reversals = Reversals()
    reversals.note(deployed(item("a"), item("b")), 0)
    reversals.note(deployed(item("a", version="v2"), item("b", version="v2")), 1)
    assert die(reversals, 2) == ["a", "b"]


def test_deaths_of_the_old_or_far_apart_blame_nobody() -> None:
    reversals = Reversals()
    reversals.note({}, 0)
    reversals.note(deployed(item("a")), 1)
    assert die(reversals, 2, 10, lived_s=YOUNG_S + 1) == []
    for number in range(10):
        assert reversals.died("one", 0.3, 100 + number * WINDOW_S) == ()
    assert die(reversals, 10_000) == [], "the change is too old to be to blame"


def test_a_plan_that_is_held_back_gives_way_to_the_one_before_until_it_is_changed() -> None:
    reversals = Reversals()
    reversals.note(deployed(item("a")), 0)
    reversals.note(deployed(item("a", 2)), 1)
    for change in [change for _ in range(DEATHS) for change in reversals.died("one", 0.3, 2)]:
        reversals.hold_back(change)
    wanted = deployed(item("a", 2, "v7"))
    assert reversals.overlaid(wanted) == deployed(item("a", 1, "v7"))
    assert "the plan before serves on" in str(reversals.held_back("a"))
    assert reversals.overlaid(deployed(item("a", 3))) == deployed(item("a", 3))
    assert reversals.held_back("a") is None


def test_a_new_service_that_is_held_back_is_not_served() -> None:
    reversals = Reversals()
    reversals.note({}, 0)
    reversals.note(deployed(item("a")), 1)
    for change in [change for _ in range(DEATHS) for change in reversals.died("one", 0.3, 2)]:
        reversals.hold_back(change)
    found = reversals.overlaid(deployed(item("a")))["a"]
    assert found.plan is None
    assert found.refusal is not None
    assert "died of it again and again" in found.refusal.detail


def deadly(data_dir: Path, number: int) -> str:
    """A version that is true to its hashes, of which LMDB aborts the process that looks a row up."""
    version = snapshots.build(data_dir, "things", {f"k{i}": {"v": f"v{number}-{i}"} for i in range(20)}, number)
    file = version_dir(data_dir, "things", version) / ROWS_FILE
    content = bytearray(file.read_bytes())
    starts = range(2 * PAGE_BYTES, len(content), PAGE_BYTES)
    rows = max(starts, key=lambda start: struct.unpack_from("<H", content, start + LOWER_AT)[0])  # the fullest page
    struct.pack_into("<H", content, rows + FLAGS_AT, BRANCH)
    struct.pack_into("<H", content, rows + LOWER_AT, 18)  # as if it had one entry
    file.write_bytes(content)
    manifest = read_manifest(file.parent)
    whole = msgspec.structs.replace(manifest, files={**manifest.files, ROWS_FILE: hash_file(file)})
    (file.parent / MANIFEST_FILE).write_bytes(encode_manifest(whole))
    return version


def replaced(node: Node, pid: int) -> bool:
    return pid not in node.worker_pids("one")


def test_a_version_that_kills_workers_is_taken_back_and_nobody_else_notices(node: Node) -> None:
    """FAULTS 5."""
    node.load(0)
    good = node.load(1)
    node.datasets["others"] = {"key": ["id"]}
    node.load(1, "others")
    node.services["b"]["dataset"] = "others"
    node.start()
    bad = deadly(node.data_dir, 2)
    with Load(("127.0.0.1", node.port), ["b"], threads=2) as others:
        node.swap(bad)
        (worker,) = node.workers("one")
        assert worker["versions"] == {"things": bad}
        until(lambda: answered(node, "a", 0.5), 10, "the version before")
        until(node.is_serving)
    status = node.status()
    assert status["datasets"]["things"]["live"] == good
    assert "died again and again" in status["datasets"]["things"]["fault"]
    (entry,) = [entry for entry in node.audit() if entry.action == "take_back"]
    print(entry.time, entry.reason)
    for _ in range(DEATHS):  # of whatever else: the good one stays
        (pid,) = node.worker_pids("one")
        send_signal(pid, signal.SIGKILL)
        until(partial(replaced, node, pid), 10)
        until(node.is_serving, 20)
    assert node.status()["datasets"]["things"]["live"] == good
    assert f"things@{bad}" in entry.reason
    assert others.failures == []
