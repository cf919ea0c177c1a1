"""What a worker cannot open or compile: the old stands, and the fault has a name."""

import errno
import os

import msgspec
import pytest

from compartments.facts.deployment import Stage, deploy_key, stage_key
from compartments.versions import deployer
from engine.http.route import Unready
from havok.layout import version_dir
from havok.manifest import MANIFEST_FILE, ROWS_FILE
from tests import snapshots
from tests.compartments.workbench import Bench


@pytest.mark.parametrize("how", ["flipped", "truncated", "manifest", "gone", "not lmdb"])
def test_a_version_that_fails_leaves_the_old_one_standing(bench: Bench, how: str) -> None:
    one, two = bench.build(1), bench.build(2)
    wanted = bench.made("a", two)
    path = version_dir(bench.path, "things", two)
    match how:
        case "flipped":
            snapshots.damage(bench.path, "things", two, b"v2-7")
        case "truncated":
            os.truncate(path / ROWS_FILE, 4096)
        case "manifest":
            (path / MANIFEST_FILE).write_text("{")
        case "gone":
            (path / ROWS_FILE).unlink()
        case "not lmdb":
            (path / ROWS_FILE).write_bytes(b"x" * (path / ROWS_FILE).stat().st_size)
    bench.serve(one)
    bench.settle()
    bench.tell({stage_key("things"): Stage("s1", (wanted,))})
    bench.drive.until(lambda: "s1" in bench.deployer.faults)
    assert bench.deployer.staged == ()
    bench.tell({}, drop=(stage_key("things"),))
    assert bench.deployer.faults == {}
    bench.tell({deploy_key("a"): wanted})  # even when it is published all the same
    bench.settle()
    assert bench.serving() == one
    assert f"things@{two}" in bench.deployer.faults
    assert str(bench.path) not in str(bench.deployer.faults)
    assert not bench.mapped(two)
    bench.serve(one)
    assert bench.deployer.faults == {}


@pytest.mark.parametrize("lacking", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_a_shortage_is_no_damage_and_passes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lacking: BaseException
) -> None:
    """Descriptors and memory come back; damage reported for the want of them would move the whole node."""
    one, two = bench.build(1), bench.build(2)
    bench.serve(one)
    bench.settle()
    whole_snapshot = deployer.Snapshot

    def fail(*_: object) -> None:
        raise lacking

    monkeypatch.setattr(deployer, "OPEN_AGAIN_S", 0.01)
    monkeypatch.setattr(deployer, "Snapshot", fail)
    bench.tell({stage_key("things"): Stage("s1", (bench.made("a", two),))})
    bench.drive.until(lambda: "s1" in bench.deployer.faults)
    assert "cannot be opened now" in bench.deployer.faults["s1"]
    bench.tell({}, drop=(stage_key("things"),))
    bench.drive.until(lambda: bench.deployer.faults == {} and not bench.deployer._opening)
    bench.serve(two)
    bench.drive.until(lambda: bench.deployer.faults)
    assert set(bench.deployer.faults) == {f"opening things@{two}"}
    assert bench.serving() == one
    monkeypatch.setattr(deployer, "Snapshot", whole_snapshot)
    bench.drive.until(lambda: bench.serving() == two)
    assert bench.deployer.faults == {}


def test_a_broken_first_version_is_503_with_the_reason(bench: Bench) -> None:
    one = bench.build(1)
    snapshots.damage(bench.path, "things", one, b"v1-7")
    bench.serve(one)
    bench.settle()
    target = bench.server.target("a")
    assert isinstance(target, Unready)
    assert target.error.status == 503


def test_a_plan_that_does_not_compile_leaves_the_old_one_standing(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2, column="w")
    bench.serve(one, "v", "a")
    bench.settle()
    refused = bench.made("v", two)
    assert refused.refusal is not None
    bench.serve(two, "v", "a", standby=one)
    bench.settle()
    assert bench.serving("a") == two
    assert bench.serving("v") == one
    assert "'v'" in bench.deployer.faults["v"]


def test_a_plan_whose_code_does_not_compile_is_a_fault_of_the_stage(bench: Bench) -> None:
    one = bench.build(1)
    bench.serve(one)
    bench.settle()
    good = bench.made("a", one)
    assert good.plan is not None
    params = (msgspec.structs.replace(good.plan.access.params[0], rules=msgspec.convert({"pattern": "("}, _rules())),)
    plan = msgspec.structs.replace(good.plan, access=msgspec.structs.replace(good.plan.access, params=params))
    bad = msgspec.structs.replace(good, plan=plan)
    bench.tell({stage_key("(settings)"): Stage("s1", (bad,))})
    bench.drive.until(lambda: "s1" in bench.deployer.faults)
    bench.tell({deploy_key("a"): bad}, drop=(stage_key("(settings)"),))
    bench.settle()
    assert "a" in bench.deployer.faults
    assert bench.serving() == one, "the old one serves on"
    bench.tell({deploy_key("a"): good})
    assert bench.deployer.faults == {}, "what is served as wanted has no fault"


def _rules() -> type:
    from engine.plan import Rules

    return Rules
