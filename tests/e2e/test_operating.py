"""A running node is restarted, upgraded and scaled; callers notice nothing."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from compartments.processes.code import PACKAGES, code_id
from tests.compartments.deadline import until
from tests.console.person import ROOT, Person, Served
from tests.e2e.callers import Callers


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages where somebody installed them; what a person runs comes from there."""
    place = tmp_path / "installed"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(place))
    return place


@pytest.fixture
def installed(installation: Path, tmp_path: Path) -> Iterator[Person]:
    project = tmp_path / "project"
    project.mkdir()
    with Person(project) as made:
        made.loaded("things")
        made.loaded("places")
        yield made


def pids(served: Served) -> set[int]:
    status = served.status()
    workers = [worker["pid"] for found in status["compartments"].values() for worker in found["workers"]]
    return {*workers, *status["gate"]["pids"]}


def install_other_code(
    installation: Path, where: str = "havok/messages.py", text: str = "\n# of another day\n"
) -> None:
    path = installation / where
    path.write_text(path.read_text() + text)


def test_an_upgrade_under_load_fails_nobody(installation: Path, installed: Person) -> None:
    """FAULTS 6, with other code."""
    served = installed.serve()
    old, supervisor = pids(served), served.status()["supervisor"]
    install_other_code(installation)
    with Callers(installed.port) as callers:
        answer = installed.does("upgrade", "--json").json
    assert callers.wrong == []
    assert answer == {"code": code_id(installation)}
    status = served.status()
    assert status["supervisor"]["pid"] == supervisor["pid"], "who watches over the supervisor sees the same process"
    assert status["supervisor"]["code"] == answer["code"] != supervisor["code"]
    assert old.isdisjoint(pids(served))
    session = Path(f"/proc/{supervisor['pid']}/autogroup")
    assert not session.exists() or session.read_text().endswith("nice 0\n"), "it was behind others while it started"
    assert installed.thing().status == 200
    assert served.stop() == 0
    assert "drained; goodbye" in served.words()
    assert "Traceback" not in served.words()


@pytest.mark.parametrize(
    ("where", "text", "says"),
    [
        ("havok/messages.py", "\nthis is no Python\n", "SyntaxError"),
        ("console/check.py", "\nimport nowhere_to_be_found\n", "nowhere_to_be_found"),
    ],
)
def test_code_that_would_not_serve_changes_nothing(
    installation: Path, installed: Person, where: str, text: str, says: str
) -> None:
    with installed.serve() as served:
        before = (pids(served), served.status()["supervisor"])
        place = installation / where
        good = place.read_text()
        place.write_text(good + text)
        # The command itself is of the broken installation where it needs that module, so the sound one asks.
        sound = {"PYTHONPATH": str(ROOT)}
        done = installed.havok("upgrade", env=sound)
        assert done.code == 1
        assert "would not serve this node; nothing was changed" in done.err
        assert says in done.err
        assert (pids(served), served.status()["supervisor"]) == before
        place.write_text(good)


def test_a_supervisor_that_was_killed_is_followed_by_one_of_other_code(installation: Path, installed: Person) -> None:
    served = installed.serve()
    old = pids(served)
    with Callers(installed.port) as callers:
        served.send(signal.SIGKILL)
        served.ended()
        install_other_code(installation)
        successor = installed.serve()
        until(lambda: successor.status()["outdated"] == 0, 30)
    assert callers.wrong == []
    assert old.isdisjoint(pids(successor))


def test_scaling_is_remembered_and_taken_back(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    with person.serve() as served:
        with Callers(person.port) as callers:
            out = person.does("scale", "one", "--workers", 3, "--low", 0.2).out
            assert out == "one: 3 workers (at most 3), marks 0.2 and 0.75\n"
            assert len(served.status()["compartments"]["one"]["workers"]) == 3
            assert served.status()["compartments"]["one"]["watermarks"] == {"low": 0.2, "high": 0.75}
            assert "must be below the high one" in person.refused("scale", "one", "--low", 0.9)
            assert "did you mean one?" in person.refused("scale", "onee", "--workers", 2)
            assert "set what you want after it" in person.refused("scale", "one", "--reset", "--workers", 2)
            shown = person.does("status").out
            assert "one: scaled by hand, workers 3, low 0.2; havok scale one --reset takes it back" in shown
        assert callers.wrong == []
    with person.serve() as served:
        assert len(served.status()["compartments"]["one"]["workers"]) == 3
        with Callers(person.port) as callers:
            assert person.does("scale", "one", "--reset", "--json").json == {
                "compartment": "one", "workers": 1, "max": 1, "low": 0.35, "high": 0.75,
            }  # fmt: skip
            until(lambda: len(served.status()["compartments"]["one"]["workers"]) == 1, 10)
        assert callers.wrong == []


def test_restarting_takes_its_option(person: Person) -> None:
    assert person.havok("restart").code == 2
    assert "the node is not running" in person.refused("restart", "--rolling")
    person.loaded("things")
    person.loaded("places")
    with person.serve() as served, Callers(person.port) as callers:
        old = pids(served)
        assert person.does("restart", "--rolling").out == "3 processes were replaced, one after another\n"
        assert old.isdisjoint(pids(served))
    assert callers.wrong == []
