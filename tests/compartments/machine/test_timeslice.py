"""Slices of real processes."""

import os
import platform
import subprocess
import sys

import pytest

from compartments.machine.timeslice import get_slice, set_slice

known = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64", "riscv64")
    or tuple(int(part) for part in platform.release().split(".")[:2]) < (6, 12),
    reason="this kernel has no slices of processes",
)


@known
def test_a_slice_is_set_and_nothing_else() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.setpriority(os.PRIO_PROCESS, child.pid, 7)
        set_slice(child.pid, 300_000)
        assert get_slice(child.pid) == 300_000
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 7
        os.sched_setscheduler(child.pid, os.SCHED_BATCH, os.sched_param(0))
        set_slice(child.pid, 400_000)
        assert os.sched_getscheduler(child.pid) & ~os.SCHED_RESET_ON_FORK == os.SCHED_BATCH
        assert child.stdin is not None
        child.stdin.close()


@known
def test_a_process_that_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(ProcessLookupError):
        set_slice(child.pid, 300_000)


@known
def test_other_policies_are_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.sched_setscheduler(child.pid, os.SCHED_IDLE, os.sched_param(0))
        before = get_slice(child.pid)
        set_slice(child.pid, 300_000)
        assert (os.sched_getscheduler(child.pid), get_slice(child.pid)) == (os.SCHED_IDLE, before)
        assert child.stdin is not None
        child.stdin.close()
