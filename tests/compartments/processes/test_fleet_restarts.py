"""What may come between the end of a process and its successor."""

import signal
from functools import partial

from havok import messages
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
