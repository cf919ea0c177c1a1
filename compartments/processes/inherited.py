"""Descriptors that a process inherits by name: from the supervisor it was before an upgrade, or from systemd.

Rule: the protocol is sd_listen_fds(3)'s: LISTEN_PID names who may take them, LISTEN_FDS says
how many there are from 3 on, LISTEN_FDNAMES what they are. They are taken once, and no child
sees them.
"""

import fcntl
import os
from collections.abc import Mapping, MutableMapping, Sequence

FIRST_FD = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_ABOVE = 256  # where they are kept while the low numbers are set


def take_inherited(environ: MutableMapping[str, str] = os.environ) -> dict[str, int]:
    """Name → descriptor; none that were meant for another process. What has no name is called after its number."""
    pid, count, names = (environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    named = names.split(":") if names else []
    found = {}
    for number in range(int(count)):
        fd = FIRST_FD + number
        os.set_inheritable(fd, False)
        found[named[number] if number < len(named) else str(fd)] = fd
    return found


def become(command: Sequence[str], fds: Mapping[str, int], environ: Mapping[str, str] = os.environ) -> None:
    """Replaces this process by another program that inherits `fds`; does not return. Raises OSError."""
    kept = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in fds.values()]
    for number, fd in enumerate(kept):
        os.dup2(fd, FIRST_FD + number, inheritable=True)
    told = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": ":".join(fds)}
    os.execve(command[0], list(command), {**environ, **told})
