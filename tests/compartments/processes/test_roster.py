"""The record of processes: what is still there is found again, and nobody else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from compartments.processes.roster import Entry, Roster, end_recorded, is_there, read_roster, start_ticks, write_roster
from havok.layout import make_run_dir, run_dir
from havok.messages import PROTOCOL


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    make_run_dir(tmp_path)
    return tmp_path


def test_what_was_written_is_read_while_it_lives(data_dir: Path, bystander: subprocess.Popen[bytes]) -> None:
    entry = Entry(
        bystander.pid, start_ticks(bystander.pid), "one-1", "one", "/run/w-1.sock", "abc", True, ("127.0.0.1:8080",)
    )
    gone = Entry(2**22 - 1, 5, "one-2", "one")
    write_roster(data_dir, [entry, gone])
    roster = read_roster(data_dir)
    assert roster is not None
    assert (roster.processes, roster.is_understood) == ((entry,), True)
    bystander.kill()
    bystander.wait()
    assert read_roster(data_dir) == msgspec.structs.replace(roster, processes=())


def test_a_pid_used_again_by_somebody_else_is_left_alone(data_dir: Path, bystander: subprocess.Popen[bytes]) -> None:
    write_roster(data_dir, [Entry(bystander.pid, start_ticks(bystander.pid) - 1)])
    assert end_recorded(data_dir, 1) == 0
    assert bystander.poll() is None


def test_an_entry_of_before_the_last_boot_is_nobody(data_dir: Path, bystander: subprocess.Popen[bytes]) -> None:
    entry = Entry(bystander.pid, start_ticks(bystander.pid))
    earlier = Roster(PROTOCOL, "another boot", (entry,))
    (run_dir(data_dir) / "processes.json").write_bytes(msgspec.json.encode(earlier))
    roster = read_roster(data_dir)
    assert roster is not None
    assert roster.processes == ()


def test_another_protocol_is_not_understood_but_can_be_ended(
    data_dir: Path, bystander: subprocess.Popen[bytes]
) -> None:
    write_roster(data_dir, [Entry(bystander.pid, start_ticks(bystander.pid))])
    path = run_dir(data_dir) / "processes.json"
    later = msgspec.json.decode(path.read_bytes())
    later["protocol"] += 1
    later["processes"][0] += ["something", "more"]
    path.write_bytes(msgspec.json.encode(later))
    roster = read_roster(data_dir)
    assert roster is not None
    assert not roster.is_understood
    assert end_recorded(data_dir, 5) == 1
    assert not psutil.pid_exists(bystander.pid)
    assert end_recorded(data_dir, 1) == 0, "the record is used once"


def test_one_that_does_not_hear_is_killed(data_dir: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        write_roster(data_dir, [Entry(process.pid, start_ticks(process.pid))])
        assert end_recorded(data_dir, 0.3) == 1
        assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize("content", ["", "[[1,", "{}", "null", "3", '{"protocol": 1}', "\xff", "[[-5, 0]]", "[[1, 2]]"])
def test_a_record_that_is_none_is_nobody(data_dir: Path, content: str) -> None:
    (run_dir(data_dir) / "processes.json").write_bytes(content.encode("latin-1"))
    assert read_roster(data_dir) is None
    assert end_recorded(data_dir, 0.1) == 0


def test_a_record_that_cannot_be_written_is_logged(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.rename(run_dir(data_dir), data_dir / "elsewhere")
    write_roster(data_dir, [])
    assert "not on record: No such file or directory" in caplog.text


def test_a_process_that_ended_is_not_there_though_its_parent_took_no_note() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        entry = Entry(process.pid, start_ticks(process.pid))
        assert is_there(entry)
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            os.sched_yield()
        assert not is_there(entry)
