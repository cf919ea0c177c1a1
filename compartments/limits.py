"""What a process may take of the machine: cores, memory, and its place in the queue for a core.

Rule: set from outside, by the supervisor, on a child that runs already; setting them again
changes them. A limit that the system refuses is logged and the process runs on without it.
"""

import asyncio
import logging
import os
from pathlib import Path

import psutil

from havok.settings import CompartmentSettings, Priority

log = logging.getLogger(__name__)

NICE: dict[Priority, int] = {"high": 0, "medium": 5, "low": 10}
_TRIES_MAX = 50  # Linux takes ten session weights a second from all who are not root
_TRY_AGAIN_S = 0.11


def limit(pid: int, settings: CompartmentSettings, name: str) -> None:
    """Cores, memory and niceness. `name` is for the log."""
    memory = psutil.RLIM_INFINITY if settings.memory_mb is None else settings.memory_mb * 1024 * 1024
    try:
        handle = psutil.Process(pid)
        handle.cpu_affinity(list(settings.cpus) or sorted(os.sched_getaffinity(0)))
        _, hard = handle.rlimit(psutil.RLIMIT_DATA)
        handle.rlimit(psutil.RLIMIT_DATA, (memory, hard))  # only the soft one: it can be lifted again
        handle.nice(NICE[settings.priority])
    except psutil.NoSuchProcess:
        return  # it ended; its watcher says so
    except (psutil.AccessDenied, OSError, ValueError) as error:
        log.warning("%s keeps its limits as they are: %s", name, error)


async def rank_session(pid: int, priority: Priority, name: str) -> None:
    """Gives the session that the process leads the weight of its priority.

    Where the kernel schedules by session (autogroup, sched(7)), niceness counts only inside
    one and every session has the same share of a core, whatever the niceness of what it runs.
    """
    for _ in range(_TRIES_MAX):
        try:
            _weigh(pid, NICE[priority])
            return
        except (FileNotFoundError, ProcessLookupError):
            return  # no such kernel, or no such process any more
        except BlockingIOError:
            await asyncio.sleep(_TRY_AGAIN_S)
        except OSError as error:
            log.warning("the session of %s keeps its share of a core: %s", name, error.strerror)
            return
    log.warning("the session of %s keeps its share of a core: the kernel was asked too often", name)


def _weigh(pid: int, nice: int) -> None:
    Path(f"/proc/{pid}/autogroup").write_text(str(nice))
