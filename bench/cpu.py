"""CPU time of processes, and which core they run on.

Rule: a process is pinned by starting it while its parent is pinned, so that every thread it
ever starts is too; CPU time is what the kernel charged to the process, user and system, all
threads. Whole clock ticks (10 ms): a round shorter than a second is good to a few per cent.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec
import psutil


class Cores(msgspec.Struct, frozen=True):
    """Where the measured server runs and where what loads it runs."""

    server: int
    client: int

    @property
    def shared(self) -> bool:
        return self.server == self.client


def assign_cores() -> Cores:
    """The first two cores this process may use; one core serves as both when it is alone."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], client=allowed[1] if len(allowed) > 1 else allowed[0])


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """What this thread runs and starts inside has that core; None: every core it had."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def first(core: int) -> Iterator[None]:
    """This thread has that core before all others there, as a client on a machine of its own would.

    SCHED_FIFO, where we may; what this thread starts inside is not to inherit it.
    """
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    with pinned(core):
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        try:
            yield
        finally:
            os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, param)  # only root may take the flag back


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system seconds of these processes since they started.

    Raises psutil.NoSuchProcess when one is gone: what it used is lost to the measurement.
    """
    total = 0.0
    for pid in pids:
        times = psutil.Process(pid).cpu_times()
        total += times.user + times.system
    return total
