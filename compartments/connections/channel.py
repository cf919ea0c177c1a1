"""Connections passed between processes: a socket (SCM_RIGHTS) and the bytes read from it.

Rule: one message, one connection; SOCK_SEQPACKET keeps messages whole. A connection that
was sent belongs to the receiver; one that could not be sent stays with the sender, who is
told so. The bytes of a connection between two requests are most often one read and an
unfinished head; a request whose service moved while its body came is more than the system
lets a message be, and goes in a file of memory whose descriptor is sent along.

Whoever keeps to a limit asks a receiver for its count once. From then on that says, within
TELL_S of a change, how many connections it has and how many of the asker's it has taken. With
what the asker has sent since, he knows how many there are: too few only by what came from
others in that time, and too many by what ended in it.
"""

import contextlib
import errno
import os
import resource
import socket
import struct
from collections.abc import Callable

from engine.http.head import BODY_BYTES_MAX
from engine.http.reactor import Reactor

MESSAGE_BYTES_MAX = 96 * 1024  # a body read (64 KiB) and a head (24 KiB) with room
RECEIVED_BYTES_MAX = BODY_BYTES_MAX + MESSAGE_BYTES_MAX  # a whole request and what was read after it
_SEND_BUFFER = 1024 * 1024  # a few hundred connections queued while a worker is busy
_BACKLOG = 64  # processes of a node
_BURST_MAX = 32  # connections taken in one go
_REST_S = 0.01  # while there are no descriptors; FAULTS 31 allows 100 ms after relief
TELL_S = 0.02  # how long a closed connection may still be counted by who asked
_COUNT = struct.Struct("<QQ")  # connections there are; taken from the asker
_SPARE = 64  # descriptors kept for snapshots, the bus and peers; more than a burst
# A message begins with two bytes: where the bytes of the connection are, and its hops (engine.http.passage).
_INLINE = 1  # they follow
_FILED = 2  # in a file, the second descriptor
_ASK = b"\x03"  # no connection: the sender wants to be told the count
_START_BYTES = 2

Take = Callable[[socket.socket, bytes, int], None]


class Inbox:
    """Where others send connections to; `take(sock, received, hops)` owns what comes, `count()` says how many there
    are.
    """

    def __init__(self, reactor: Reactor, path: str, take: Take, count: Callable[[], int] = lambda: 0) -> None:
        self._reactor = reactor
        self._take = take
        self._count = count
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)
        self._senders: dict[socket.socket, int] = {}  # → connections taken
        self._told: dict[socket.socket, bytes] = {}  # who asked → what he heard last
        self._newest = 0  # descriptor of the connection taken last
        self.closed = False
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
        self._senders[sender] = 0
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
                data, fds, flags, _ = socket.recv_fds(sender, MESSAGE_BYTES_MAX + _START_BYTES, 4)
            except BlockingIOError:
                return False
            except OSError:
                data, fds, flags = b"", [], 0
            for fd in fds:
                os.set_inheritable(fd, False)  # else executors would keep callers' connections open
            received = None if flags & socket.MSG_TRUNC else _received(data, fds)
            if received is not None:
                connection = socket.socket(fileno=fds[0])
                self._newest = fds[0]
                connection.setblocking(False)
                self._senders[sender] += 1
                self._take(connection, received, data[1])
                continue
            for fd in fds:
                os.close(fd)
            if data == _ASK and sender not in self._told:
                self._told[sender] = b""
                self._tell(sender)
            if not data:
                self._forget(sender)
                return False
        return True

    def tell(self) -> None:
        """Those who asked and know it otherwise; to be called within TELL_S of each call of `count`."""
        for sender in self._told:
            self._tell(sender)

    def _tell(self, sender: socket.socket) -> None:
        word = _COUNT.pack(self._count(), self._senders[sender])
        if word != self._told[sender]:
            with contextlib.suppress(OSError):  # he does not listen now, and is told next time; or is gone
                sender.send(word)
                self._told[sender] = word

    def _forget(self, sender: socket.socket) -> None:
        if sender not in self._senders:
            return
        self._reactor.remove(sender.fileno())
        del self._senders[sender]
        self._told.pop(sender, None)
        sender.close()

    def close(self) -> None:
        """Takes what was sent, and refuses what would be: who sends now is told so, and keeps the connection."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._listener.shutdown(socket.SHUT_RD)
        while self._accept():
            pass
        for sender in list(self._senders):
            with contextlib.suppress(OSError):  # he is gone
                sender.shutdown(socket.SHUT_RD)  # from here on nothing more arrives
            while self._read(sender):
                pass
            self._forget(sender)
        self._reactor.remove(self._listener.fileno())
        self._listener.close()


def _received(data: bytes, fds: list[int]) -> bytes | None:
    """The bytes of the connection `fds[0]`, any file of theirs closed; None when it is no message of ours."""
    kind = data[0] if len(data) >= _START_BYTES else 0
    if kind == _INLINE and len(fds) == 1:
        return data[_START_BYTES:]
    if kind == _FILED and len(data) == _START_BYTES and len(fds) == 2:
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


class _Peer:
    """A receiver, and what is known of its connections."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self._asked = False
        self._told: tuple[int, int] | None = None

    def count(self) -> int | None:
        """Raises OSError when the receiver is gone."""
        with contextlib.suppress(BlockingIOError):  # nothing new
            if not self._asked:
                self.sock.send(_ASK)
                self._asked = True
            while word := self.sock.recv(_COUNT.size):
                self._told = _COUNT.unpack(word)
            raise ConnectionResetError
        if self._told is None:
            return None
        there, taken = self._told
        return there + self.sent - taken


class Outbox:
    """Sends connections to other processes' inboxes, connecting when first needed."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def send(self, path: str, connection: socket.socket, received: bytes, hops: int = 0) -> bool:
        """False when that process is gone or its queue is full."""
        if len(received) > RECEIVED_BYTES_MAX:
            return False
        peer = self._peers.get(path) or self._connect(path)
        if peer is None:
            return False
        if len(received) <= MESSAGE_BYTES_MAX:
            return self._send(path, peer, bytes((_INLINE, hops)) + received, [connection.fileno()])
        try:
            file = _filed(received)
        except OSError:  # out of descriptors or memory
            return False
        try:
            return self._send(path, peer, bytes((_FILED, hops)), [connection.fileno(), file])
        finally:
            os.close(file)

    def count(self, path: str) -> int | None:
        """Connections that process has, with those on their way to it; None while it has not said so.

        One that is gone has none.
        """
        peer = self._peers.get(path) or self._connect(path)
        try:
            return 0 if peer is None else peer.count()
        except OSError:
            self.forget(path)
            return 0

    def _send(self, path: str, peer: _Peer, message: bytes, fds: list[int]) -> bool:
        try:
            socket.send_fds(peer.sock, [message], fds)
        except BlockingIOError:
            return False
        except OSError:
            self.forget(path)
            return False
        peer.sent += 1
        return True

    def _connect(self, path: str) -> _Peer | None:
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # out of descriptors
            return None
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            return None
        self._peers[path] = peer = _Peer(sock)
        return peer

    def forget(self, path: str) -> None:
        peer = self._peers.pop(path, None)
        if peer is not None:
            peer.sock.close()

    def keep(self, paths: set[str]) -> None:
        """Closes what leads to processes that are no longer there."""
        for path in [path for path in self._peers if path not in paths]:
            self.forget(path)

    def close(self) -> None:
        self.keep(set())
