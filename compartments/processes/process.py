"""What every process of a node does at its start, and what it is told.

Rule: a child is started with one JSON argument and needs nothing else but the bus.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop


class WorkerSettings(msgspec.Struct, frozen=True):
    process: str  # its name, unique within a node's life
    compartment: str
    data_dir: str
    inbox: str  # path of the socket it takes connections from
    drain_s: float
    fds: int | None = None  # open files, at most; None: as many as the system allows
    listeners: dict[str, int] = {}  # inherited descriptors by address: it holds them and lends them, see `listeners`
    listen: str | None = None  # the one of them at which it accepts: its compartment's own


class GateSettings(msgspec.Struct, frozen=True):
    process: str
    data_dir: str
    listen: str  # the address at which it accepts
    listener_fd: int  # inherited; everybody holds it, see `listeners`
    drain_s: float
    line_s: float = 5.0  # a connection's first line arrives within; the head's deadline, see engine.http.connection
    alone_s: float = 5.0  # a start with its workers takes 1 s; after as long without any, callers are told so
    lends_at: str = ""  # path of the socket it lends the listener at

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)


class PoolSettings(msgspec.Struct, frozen=True):
    """Executors of a worker that have the same limits; `processes_max` and `queue_max` are the worker's side of it."""

    data_dir: str
    processes_max: int = 1
    memory_mb: int = 512  # DuckDB's, in each process
    threads: int = 1
    timeout_s: float = 30.0  # of a query, but for what it waits for its caller
    queue_max: int = 16  # requests that wait for a process: one second of queries of 60 ms


def start_loop(name: str, on_terminate: Callable[[], None], fds: int | None = None) -> asyncio.AbstractEventLoop:
    """A loop in which SIGTERM drains, with `fds` descriptors or all there are; Ctrl-C is the supervisor's business.

    `name`: what the process is called in `top`, its first 15 letters.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
    logging.addLevelName(logging.INFO, "info")  # as the supervisor writes them
    logging.addLevelName(logging.WARNING, "warning")
    logging.addLevelName(logging.ERROR, "error")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    some = most if fds is None else fds if most == resource.RLIM_INFINITY else min(fds, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (some, most))  # a connection is a descriptor; 1,024 is the usual rest
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # A loop that does not run yet would swallow the signal; blocked, it waits for the first turn.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    loop.add_signal_handler(signal.SIGTERM, on_terminate)
    loop.call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})
    # What was imported lives for ever; a collection should not walk it in a request's time.
    gc.collect()
    gc.freeze()
    return loop


def step_back() -> None:
    """Nobody waits for this process any more: those who serve on its core go first, at once."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def end() -> NoReturn:
    """All is closed that others could miss; the rest, which takes 10 ms of a core to take apart, is the kernel's."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
