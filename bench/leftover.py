"""Runs a command on what others leave of a core: `python -m bench.leftover COMMAND …`.

Rule: the command must lead a session of its own (`start_new_session`). SCHED_IDLE ranks a
process behind all others of its scheduling group, and Linux may make each session such a group
with a full share of the core (autogroup, sched(7)); so the session is ranked last as well.
Without the second half a spinning process took half the core: p99 rose from 0.2 to 4.5 ms.
Such a command may wait as long as others please: whoever starts it must not wait for it blindly.
"""

import os
import sys
import time
from collections.abc import Sequence

from bench.process import python

_LAST = "19"
_AGAIN_S = 0.11  # Linux takes ten session weights a second from all who are not root


def leftover(argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` so."""
    return [*python("bench.leftover"), *argv]


def rank_last() -> None:
    """This process and the session it leads."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        try:
            with open("/proc/self/autogroup", "w") as weight:
                weight.write(_LAST)
            return
        except FileNotFoundError:  # this kernel does not schedule by session
            return
        except BlockingIOError:
            time.sleep(_AGAIN_S)


if __name__ == "__main__":
    rank_last()
    os.execvp(sys.argv[1], sys.argv[1:])
