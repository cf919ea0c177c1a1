"""Connections passed between processes: a socket (SCM_RIGHTS) and the bytes read from it.

Rule: one message, one connection; SOCK_SEQPACKET keeps messages whole. A connection that
was sent belongs to the receiver; one that could not be sent stays with the sender, who is
told so. The bytes of a connection between two requests are most often one read and an
unfinished head; a request whose service moved while its body came is more than the system
lets a message be, and goes in a file of memory whose descriptor is sent along.
"""

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable

from engine.http.head import BODY_BYTES_MAX
from engine.http.reactor import Reactor

MESSAGE_BYTES_MAX = 96 * 1024  # a body read (64 KiB) and a head (24 KiB) with room
RECEIVED_BYTES_MAX = BODY_BYTES_MAX + MESSAGE_BYTES_MAX  # a whole request and what was read after it
_SEND_BUFFER = 1024 * 1024  # a few hundred connections queued while a worker is busy
_BACKLOG = 64  # processes of a node
_BURST_MAX = 32  # connections taken in one go
_REST_S = 0.01  # while there are no descriptors; FAULTS 31 allows 100 ms after relief
_SPARE = 64  # descriptors kept for snapshots, the bus and peers; more than a burst
_INLINE = b"\x01"  # the bytes follow
_FILED = b"\x02"  # the bytes are in a file, the second descriptor

Take = Callable[[socket.socket, bytes], None]


class Inbox:
    """Where others send connections to; `take(sock, received)` owns what comes."""

    def __init__(self, reactor: Reactor, path: str, take: Take) -> None:
        self._reactor = reactor
        self._take = take
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._senders: set[socket.socket] = set()
        self._newest = 0  # descriptor of the connection taken last
        reactor.add(self._listener.fileno(), self._welcome)

    def _welcome(self) -> None:
        if not self._accept():  # out of descriptors, most likely
            self._reactor.rest(self._listener.fileno(), _REST_S)

    def _accept(self) -> bool:
        """False when nobody else waits to be accepted, or nobody can be."""
        try:
            sender, _ = self._listener.accept()
        except OSError:
            return False
        sender.setblocking(False)
        self._senders.add(sender)
        self._reactor.add(sender.fileno(), lambda: self._hear(sender))
        return True

    def _hear(self, sender: socket.socket) -> None:
        if self._is_short():
            self._reactor.rest(sender.fileno(), _REST_S)
        else:
            self._read(sender)

    def _is_short(self) -> bool:
        """Whether descriptors run out: a message received without one for its connection loses it.

        The kernel gives out the lowest free number, so the newest tells how many are left.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit == resource.RLIM_INFINITY or self._newest < limit - min(_SPARE, limit // 4):
            return False
        try:
            self._newest = os.dup(self._listener.fileno())
        except OSError:
            return True
        os.close(self._newest)
        return self._newest >= limit - min(_SPARE, limit // 4)

    def _read(self, sender: socket.socket) -> bool:
        """A burst; False when this sender has nothing more for now."""
        for _ in range(_BURST_MAX):
            try:
                data, fds, flags, _ = socket.recv_fds(sender, MESSAGE_BYTES_MAX + 1, 4)
            except BlockingIOError:
                return False
            except OSError:
                data, fds, flags = b"", [], 0
            received = None if flags & socket.MSG_TRUNC else _received(data, fds)
            if received is not None:
                connection = socket.socket(fileno=fds[0])
                self._newest = fds[0]
                connection.setblocking(False)
                self._take(connection, received)
                continue
            for fd in fds:
                os.close(fd)
            if not data:
                self._forget(sender)
                return False
        return True

    def _forget(self, sender: socket.socket) -> None:
        self._reactor.remove(sender.fileno())
        self._senders.discard(sender)
        sender.close()

    def close(self) -> None:
        """After taking what has arrived."""
        while self._accept():
            pass
        for sender in list(self._senders):
            while self._read(sender):
                pass
        for sender in list(self._senders):
            self._forget(sender)
        self._reactor.remove(self._listener.fileno())
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def _received(data: bytes, fds: list[int]) -> bytes | None:
    """The bytes of the connection `fds[0]`, any file of theirs closed; None when it is no message of ours."""
    if data[:1] == _INLINE and len(fds) == 1:
        return data[1:]
    if data == _FILED and len(fds) == 2:
        try:
            received = os.pread(fds[1], RECEIVED_BYTES_MAX, 0)
        except OSError:
            return None
        os.close(fds[1])
        return received
    return None


def _filed(received: bytes) -> int:
    """A file of memory with these bytes. Raises OSError when there is no room for one."""
    file = os.memfd_create("received", os.MFD_CLOEXEC)
    try:
        if os.write(file, received) != len(received):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.close(file)
        raise
    return file


class Outbox:
    """Sends connections to other processes' inboxes, connecting when first needed."""

    def __init__(self) -> None:
        self._peers: dict[str, socket.socket] = {}

    def send(self, path: str, connection: socket.socket, received: bytes) -> bool:
        """False when that process is gone or its queue is full."""
        if len(received) > RECEIVED_BYTES_MAX:
            return False
        peer = self._peers.get(path) or self._connect(path)
        if peer is None:
            return False
        if len(received) <= MESSAGE_BYTES_MAX:
            return self._send(path, peer, _INLINE + received, [connection.fileno()])
        try:
            file = _filed(received)
        except OSError:  # out of descriptors or memory
            return False
        try:
            return self._send(path, peer, _FILED, [connection.fileno(), file])
        finally:
            os.close(file)

    def _send(self, path: str, peer: socket.socket, message: bytes, fds: list[int]) -> bool:
        try:
            socket.send_fds(peer, [message], fds)
        except BlockingIOError:
            return False
        except OSError:
            self.forget(path)
            return False
        return True

    def _connect(self, path: str) -> socket.socket | None:
        try:
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # out of descriptors
            return None
        peer.setblocking(False)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            peer.connect(path)
        except OSError:
            peer.close()
            return None
        self._peers[path] = peer
        return peer

    def forget(self, path: str) -> None:
        peer = self._peers.pop(path, None)
        if peer is not None:
            peer.close()

    def keep(self, paths: set[str]) -> None:
        """Closes what leads to processes that are no longer there."""
        for path in [path for path in self._peers if path not in paths]:
            self.forget(path)

    def close(self) -> None:
        self.keep(set())
