"""load beside the node's own first loads: each waits for the other, says so, and nothing is loaded unasked."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from havok.layout import dataset_dir, live_version
from loader import locks
from tests.console.person import Person, get, until

ROWS = 200_000  # a load of a second, to be caught in


@contextmanager
def started(person: Person, *arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A command beside us, and the file of what it says."""
    said = person.directory / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(
            person.argv(*arguments), cwd=person.directory, env=person.environment(), stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()


def holder(person: Person, dataset: str = "things") -> list[str]:
    """Who signed the lock."""
    try:
        return (dataset_dir(person.data_dir, dataset) / "lock").read_text().split()
    except OSError:
        return []


def test_a_load_waits_for_the_first_one_of_the_node(person: Person) -> None:
    person.things(1, rows=ROWS)
    person.loaded("places")
    served = person.serve(ready=False)
    pid = int(until(lambda: holder(person)[1:] == ["first"] and holder(person), "the node loads")[0])
    os.kill(pid, signal.SIGSTOP)
    until(served.is_healthy, "healthy")
    try:
        assert psutil.Process(pid).ppid() == served.pid
        with started(person, "load", "things") as (process, said):
            told = f"things is being loaded by the node, as its first version (process {pid}); waiting until that is "
            until(lambda: f"{told}done; Ctrl-C gives up" in said.read_text(), "told")
            assert process.poll() is None
            status = served.status()
            assert status["datasets"]["things"]["loading"] is True
            assert status["services"]["thing"]["reason"] == (
                "dataset things has no version yet; the node is loading it now"
            )
            assert "loading …" in person.does("status").out
            os.kill(pid, signal.SIGCONT)
            assert process.wait(30) == 0, said.read_text()
            assert "live on 1 worker" in said.read_text()
        token = {"Authorization": f"Bearer {served.token()}"}

        def activated() -> list[str]:
            entries = get(person.admin_port, "/api/audit", token).json["data"]
            return [entry["actor"] for entry in entries if entry["action"] == "activate"]

        until(lambda: activated() == ["operator", "node"], "who made a version live, the newest first")
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)
    assert len(served.status()["datasets"]["things"]["versions"]) == 2
    assert person.thing().status == 200
    assert "could not be loaded" not in served.words()


def test_the_first_load_of_the_node_waits_and_leaves_it_at_what_there_is(person: Person) -> None:
    person.things(1, rows=ROWS)
    person.loaded("places")
    with started(person, "load", "things") as (process, said):
        until(lambda: holder(person) == [str(process.pid)], "the person loads")
        process.send_signal(signal.SIGSTOP)
        served = person.serve(ready=False)
        told = f"things is being loaded by process {process.pid}; waiting until that is done"
        until(lambda: told in served.words(), "the node says that it waits")
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == 0, said.read_text()
    until(lambda: "things: there is a version by now, nothing is loaded" in served.words(), "nothing to do")
    until(lambda: person.thing().status == 200, "served")
    assert len(served.status()["datasets"]["things"]["versions"]) == 1
    assert "could not be loaded" not in served.words()


def test_a_load_that_waited_goes_on_without_the_node_it_waited_for(person: Person) -> None:
    person.things(1, rows=ROWS)
    person.loaded("places")
    served = person.serve(ready=False)
    pid = int(until(lambda: holder(person)[1:] == ["first"] and holder(person), "the node loads")[0])
    os.kill(pid, signal.SIGSTOP)
    until(served.is_healthy, "healthy")
    with started(person, "load", "things") as (process, said):
        until(lambda: "waiting until that is done" in said.read_text(), "it waits")
        assert served.stop() == 0, "a load that stands still ends with its node"
        assert not psutil.pid_exists(pid)
        assert process.wait(30) == 0, said.read_text()
        assert "live on disk; no node is running" in said.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_can_give_up(person: Person, number: signal.Signals) -> None:
    with (
        locks.dataset_lock(person.data_dir, "things", first=True),
        started(person, "load", "things") as (process, said),
    ):
        until(lambda: "waiting until that is done" in said.read_text(), "it waits")
        process.send_signal(number)
        assert process.wait(10) == 130
    assert live_version(person.data_dir, "things") is None


def test_another_persons_load_is_refused_at_once(person: Person) -> None:
    with locks.dataset_lock(person.data_dir, "things"):
        assert person.refused("load", "things") == (
            f"error: things is being loaded or rolled back by process {os.getpid()}; wait until it is done: "
            "havok versions things shows what came of it\n"
        )


def test_a_change_of_services_starts_no_load_that_failed_before(person: Person) -> None:
    person.loaded("things")
    (person.directory / "places.csv").rename(person.directory / "aside.csv")
    served = person.serve(ready=False)
    until(lambda: "dataset places could not be loaded" in served.words(), "it failed")
    (person.directory / "aside.csv").rename(person.directory / "places.csv")
    signed = holder(person, "places")
    document = '[services.extra]\nkind = "kv"\ndataset = "things"\ncompartment = "two"\nfields = ["v"]\n'
    (person.directory / "extra.toml").write_text(document)
    person.does("services", "add", "extra.toml")
    person.does("services", "remove", "extra")
    assert holder(person, "places") == signed, "nobody has tried"
    assert not [child for child in psutil.Process(served.pid).children() if "--first" in child.cmdline()]
    served.send(signal.SIGHUP)
    until(lambda: live_version(person.data_dir, "places"), "a reload tries again")


def test_a_dataset_that_came_into_the_file_is_loaded_with_a_change_of_services(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    served = person.serve()
    person.csv("parts.csv", "id,name", [(1, "wheel")])
    person.config.write_text(person.config.read_text() + '[datasets.parts]\nkey = ["id"]\nsource = "parts.csv"\n')
    (person.directory / "extra.toml").write_text(
        '[services.part]\nkind = "kv"\ndataset = "parts"\ncompartment = "two"\n'
    )
    person.does("services", "add", "extra.toml")
    until(lambda: served.status()["services"]["part"]["state"] == "live", "loaded and served")
