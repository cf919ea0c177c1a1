"""What may come between the end of a process and its successor."""

import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from compartments.fleet import Fleet, Patience
from havok import messages
from havok.layout import make_run_dir, run_dir
from tests.compartments.deadline import pause, until
from tests.compartments.node import Node, send_signal


def left(node: Node, pid: int) -> bool:
    return pid not in node.status()["gate"]["pids"]


def test_settings_that_change_while_a_gate_waits_to_restart_make_no_second_one(node: Node) -> None:
    node.start()
    for _ in range(4):  # the later ones back off for a while
        (pid,) = node.status()["gate"]["pids"]
        send_signal(pid, signal.SIGKILL)
        until(partial(left, node, pid), 5)
        node.request(messages.ReloadRequest())
        until(lambda: node.status()["gate"]["pids"], 10)
    pause(2)
    assert len(node.status()["gate"]["pids"]) == 1


def test_a_record_that_cannot_be_written_ends_no_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_run_dir(tmp_path)
    with socket.socket() as listener:
        fleet = Fleet(tmp_path, listener, 1.0, Patience(), lambda: None)
        fleet._record()
        os.rename(run_dir(tmp_path), tmp_path / "elsewhere")
        fleet._record()
    assert "not on record: No such file or directory" in caplog.text
