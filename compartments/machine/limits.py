"""What a process may take of the machine: cores, memory, files, and its place in the queues.

Rule: set from outside, by the supervisor, on a child that runs already; setting them again
changes them. A limit that the system refuses is logged and the process runs on without it.
"""

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

from compartments.machine.timeslice import set_slice
from havok.settings import CompartmentSettings, Priority

log = logging.getLogger(__name__)

NICE: dict[Priority, int] = {"high": 0, "medium": 5, "low": 10}
SLICE_NS: dict[Priority, int] = {"high": 100_000, "medium": 500_000, "low": 3_000_000}  # the kernel's own: 0.7 to 3 ms
NICE_GATE = 0
NICE_SUCCESSOR = 10  # of a supervisor until it is in charge: a tenth of a busy core, and workers can live on the rest
NICE_QUIET = 15  # of a process that starts beside others who serve: 3 % of a core that is busy
OOM_SCORE: dict[Priority, int] = {"high": 0, "medium": 150, "low": 300}  # of 1,000, on top of the supervisor's own
_OOM_SCORE_MAX = 1000
_TRIES_MAX = 50  # Linux takes ten session weights a second from all who are not root
_TRY_AGAIN_S = 0.11


def limit(pid: int, settings: CompartmentSettings, name: str, cpus: Collection[int]) -> None:
    """Everything but `cpus` as the settings say. `name` is for the log."""
    memory = resource.RLIM_INFINITY if settings.memory_mb is None else settings.memory_mb * 1024 * 1024
    steps: dict[str, Callable[[], None]] = {
        "cores": lambda: pin(pid, cpus),
        "memory limit": lambda: _limit_to(pid, resource.RLIMIT_DATA, memory),
        "limit of open files": lambda: _limit_to(pid, resource.RLIMIT_NOFILE, settings.fds or resource.RLIM_INFINITY),
        "niceness": lambda: os.setpriority(os.PRIO_PROCESS, pid, NICE[settings.priority]),
        "time slice": lambda: set_slice(pid, SLICE_NS[settings.priority]),
        "place in the queue when memory ends": lambda: _score(pid, settings.priority),
    }
    for what, step in steps.items():
        try:
            step()
        except (ProcessLookupError, FileNotFoundError, psutil.NoSuchProcess):
            return  # it ended; its watcher says so
        except (OSError, ValueError) as error:
            log.warning("%s keeps its %s as it is: %s", name, what, error)


def pin(pid: int, cpus: Collection[int]) -> None:
    """All threads that the process has by now; later ones inherit it."""
    os.sched_setaffinity(pid, cpus)
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(thread), cpus)
        except ProcessLookupError:
            continue  # a thread that has ended


def _limit_to(pid: int, what: int, most: int) -> None:
    """Only the soft limit: it can be lifted again."""
    _, hard = resource.prlimit(pid, what)
    if hard != resource.RLIM_INFINITY:
        most = hard if most == resource.RLIM_INFINITY else min(most, hard)
    resource.prlimit(pid, what, (most, hard))


def _score(pid: int, priority: Priority) -> None:
    """Who is ended first when the machine has no memory left; never less than ours, which only root may give."""
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    score = min(_OOM_SCORE_MAX, ours + OOM_SCORE[priority])
    Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))


async def rank_session(pid: int, nice: int, name: str, holds: Callable[[], bool]) -> None:
    """Gives the session that the process leads the weight of a niceness, for as long as that `holds`.

    Where the kernel schedules by session (autogroup, sched(7)), niceness counts only inside
    one and every session has the same share of a core, whatever the niceness of what it runs.
    """
    for _ in range(_TRIES_MAX):
        if not holds():
            return  # another one is asked for by now, or the process has ended
        try:
            _weigh(pid, nice)
            return
        except (FileNotFoundError, ProcessLookupError):
            return  # no such kernel, or no such process any more
        except BlockingIOError:
            await asyncio.sleep(_TRY_AGAIN_S)
        except OSError as error:
            log.warning("the session of %s keeps its share of a core: %s", name, error.strerror)
            return
    log.warning("the session of %s keeps its share of a core: the kernel was asked too often", name)


def rank_own_session(nice: int) -> None:
    """The session that we lead or share: back to 0 as well, which niceness itself allows to root alone."""
    try:
        _weigh(os.getpid(), nice)
    except OSError as error:
        log.debug("our session keeps its share of a core: %s", error.strerror)


def _weigh(pid: int, nice: int) -> None:
    Path(f"/proc/{pid}/autogroup").write_text(str(nice))
