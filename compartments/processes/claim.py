"""What a node takes hold of before it starts: its data directory, its number, its ports.

Rule: each is had alone or refused with who has it and what to do.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from havok.addresses import address
from havok.errors import NodeError
from havok.layout import node_lock

LOCK = "lock"  # what its descriptor is called when it is handed on
SILENT_S = 5  # as long as a first line may take to come, see `compartments.processes.process`
LISTEN_BACKLOG = 4096  # the kernel caps it at net.core.somaxconn


def lock_data_dir(data_dir: Path, held: int | None = None) -> int:
    """The descriptor that holds the node's lock. Raises NodeError naming who has it.

    `held`: one that this process inherited; it holds the lock already, if it is of this directory.
    """
    if held is not None:
        if _is_same_file(held, node_lock(data_dir)):
            return held
        os.close(held)
    fd = os.open(node_lock(data_dir), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise NodeError(
            f"{data_dir} is in use by another node (pid {holder}); stop it or set another node.data_dir"
        ) from None
    os.truncate(fd, 0)
    os.write(fd, b"%d\n" % os.getpid())
    return fd


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False


def next_epoch(data_dir: Path) -> int:
    """One more than any supervisor before on this data directory."""
    path = data_dir / "epoch"
    try:
        epoch = int(path.read_text()) + 1
    except (FileNotFoundError, ValueError):
        epoch = 1
    temporary = path.with_suffix(".new")
    temporary.write_text(str(epoch))
    temporary.rename(path)
    return epoch


def listen(where: str, key: str) -> socket.socket:
    """A listening socket. Raises NodeError when the address cannot be had."""
    host, port = address(where)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (socket.gaierror, UnicodeError):  # a name that cannot be one is a UnicodeError
        listener.close()
        raise NodeError(
            f"cannot listen on {where} ({key}): {host} cannot be found; "
            f"set an address of this machine, as 127.0.0.1, or 0.0.0.0 for all of them, in havok.toml"
        ) from None
    except OSError as error:
        listener.close()
        raise NodeError(
            f"cannot listen on {where} ({key}): {os.strerror(error.errno or 0)}; "
            f"stop what holds the port or set another one in havok.toml"
        ) from None
    listener.listen(LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener


def wait_for_data(listener: socket.socket) -> None:
    """Callers who have not said anything yet stay with the kernel, for a while: whoever accepts may die without harm
    to them, and reads a request at once when it accepts (TCP_DEFER_ACCEPT, tcp(7)).
    """
    with contextlib.suppress(OSError):  # a kernel that cannot: they wait with who accepts
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_S)
