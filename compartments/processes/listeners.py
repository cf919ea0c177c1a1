"""Listening sockets that outlive who accepts on them.

Rule: every process of a node holds the node's listening sockets, whether it accepts on them
or not, and lends them to whoever of the same user asks. So neither the gate's end nor the
supervisor's, nor both, closes a port: connections wait in the kernel's queue for the next to
accept.
"""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.http.reactor import Reactor

log = logging.getLogger(__name__)

_SUFFIX = ".ports"
_ANSWER_S_MAX = 1.0  # a process that serves answers within a tick; one that hangs is passed over
_MESSAGE_BYTES_MAX = 64 * 1024
_LISTENERS_MAX = 250  # one message takes 253 descriptors (SCM_MAX_FD)


def lending_path(inbox: str) -> str:
    """Where a process lends, beside where it takes connections."""
    return inbox.removesuffix(".sock") + _SUFFIX


class Lender:
    """Gives duplicates of the sockets to each process that connects."""

    def __init__(self, reactor: Reactor, path: str, listeners: Mapping[str, int]) -> None:
        """`listeners`: by address, descriptors."""
        self._reactor = reactor
        self._listeners = listeners
        self._path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.bind(path)
        self._door.listen(8)
        self._door.setblocking(False)
        reactor.add(self._door.fileno(), self._lend)

    def _lend(self) -> None:
        try:
            borrower, _ = self._door.accept()
        except OSError:
            self._reactor.rest(self._door.fileno(), 0.1)  # out of descriptors, most likely
            return
        with borrower, contextlib.suppress(OSError):
            borrower.setblocking(False)
            names = json.dumps(list(self._listeners)).encode()
            socket.send_fds(borrower, [names], list(self._listeners.values()))

    def close(self) -> None:
        self._reactor.remove(self._door.fileno())
        self._door.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def borrow(paths: Iterable[str]) -> dict[str, socket.socket]:
    """The sockets that some lenders hold, by address. Blocks."""
    found: dict[str, socket.socket] = {}
    for path in paths:
        if not Path(path).exists():
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as lender:
            lender.settimeout(_ANSWER_S_MAX)
            fds: list[int] = []
            try:
                lender.connect(path)
                names, fds, _, _ = socket.recv_fds(lender, _MESSAGE_BYTES_MAX, _LISTENERS_MAX)
                lent = list(zip(json.loads(names), fds, strict=True))
            except (OSError, ValueError) as error:  # it hangs, is short of descriptors, or about to end
                log.warning("%s lends no listening sockets: %s", path, error)
                for fd in fds:
                    os.close(fd)
                continue
        for address, fd in lent:
            os.set_inheritable(fd, False)
            if address in found:
                os.close(fd)
            else:
                found[address] = socket.socket(fileno=fd)
    return found
