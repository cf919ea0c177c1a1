"""What every process does at its start."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from compartments.processes.process import GateSettings, WorkerSettings, start_loop


def test_settings_survive_their_journey_as_one_argument() -> None:
    worker = WorkerSettings("one-1", "one", "/d ä\n", "/d/i.sock", 1.5, 300)
    assert msgspec.json.decode(msgspec.json.encode(worker), type=WorkerSettings) == worker
    gate = GateSettings("gate-2", "/d", "127.0.0.1:1", 5, 1.5)
    assert msgspec.json.decode(msgspec.json.encode(gate), type=GateSettings) == gate
    assert gate.data_path == Path("/d")


def test_sigterm_drains_and_ctrl_c_is_not_ours() -> None:
    told: list[int] = []

    def drain() -> None:
        told.append(1)
        loop.stop()

    before = signal.getsignal(signal.SIGINT)
    loop = start_loop("a-1", drain)
    try:
        assert Path("/proc/self/comm").read_text() == "a-1\n"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # before the loop runs; there may be other threads
        loop.call_later(5, loop.stop)
        loop.run_forever()
        assert told == [1]
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
        asyncio.set_event_loop(None)


@pytest.mark.parametrize("fds", [None, 300, 2**40])
def test_a_process_has_the_descriptors_it_is_given(fds: int | None) -> None:
    soft, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    interrupt = signal.getsignal(signal.SIGINT)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    loop = start_loop("a-1", lambda: None, fds)
    try:
        loop.run_until_complete(asyncio.sleep(0))  # its first turn lets SIGTERM through again
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300 if fds == 300 else hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        signal.signal(signal.SIGINT, interrupt)
        loop.close()
        asyncio.set_event_loop(None)


def test_whom_nobody_waits_for_steps_back_and_ends() -> None:
    """Of its core it takes what others leave, and it ends without taking itself apart."""
    code = "import atexit, os\nfrom compartments.processes.process import end, step_back\n"
    code += "atexit.register(print, 'taken apart'); step_back(); print(os.sched_getscheduler(0)); end()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, f"{os.SCHED_IDLE}\n")
