"""Real sockets of simulated processes, and who holds each client's connection.

Rule: the kernel's semantics are the kernel's own; here is only noted who has a descriptor of
what, which is what makes an owner. `Sockets` stands for the module `socket` in the gate and
in the channel. A connection is in the kernel's queue, held by processes, in messages between
them, or gone; what a process held that is killed, or had not read, goes with it.
"""

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from tests.simulation.loop import Owner
from tests.simulation.trace import Trace


class Line:
    """A client's connection, as the node has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: dict[Tracked, Owner] = {}
        self.under_way: list[Owner] = []  # to whom
        self.accepted = False
        self.lost_with: str | None = None  # the process that was killed with it
        self.ended_by: Owner | None = None
        self.ended_ns = 0

    @property
    def owners(self) -> int:
        return len(self.held) + len(self.under_way)

    @property
    def where(self) -> str:
        holders = [owner.name for owner in self.held.values()]
        return ", ".join([*holders, *(f"on its way to {owner.name}" for owner in self.under_way)]) or "nobody"


class Tracked(socket.socket):
    """A socket of a process. Sets of them have the same order in each run."""

    def __init__(self, sockets: "Sockets", owner: Owner, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        sockets.made += 1
        self.number = sockets.made
        self.sockets = sockets
        self.owner = owner
        self.line: Line | None = None
        self.receiver: Owner | None = None  # who listens at its other end
        sockets.of.setdefault(owner, {})[self] = None

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other

    def bind(self, address: Any) -> None:
        super().bind(address)
        self.sockets.listening[address] = self.owner

    def connect(self, address: Any) -> None:
        super().connect(address)
        self.receiver = self.sockets.listening[address]

    def accept(self) -> tuple["Tracked", Any]:
        found, address = super().accept()
        made = Tracked(self.sockets, self.owner, fileno=found.detach())
        self.sockets.accepted(made, address)
        return made, address

    def setsockopt(self, level: int, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:  # clients come by a UNIX socket: nothing of it happens later
            super().setsockopt(level, *rest)

    def close(self) -> None:
        if self.fileno() >= 0:
            self.sockets.closed(self)
        super().close()


class Sockets:
    """`on_change(line)` hears of everything that happens to a connection."""

    def __init__(self, trace: Trace, current: Callable[[], Owner], now_ns: Callable[[], int]) -> None:
        self._trace = trace
        self._now_ns = now_ns
        self._current = current
        self.made = 0
        self.of: dict[Owner, dict[Tracked, None]] = {}
        self.listening: dict[str, Owner] = {}
        self.lines: dict[bytes, Line] = {}  # by the address of the client's end
        self._of_inode: dict[int, Line] = {}
        self.changed: dict[Line, None] = {}
        self.sent: Callable[[Line, Owner], None] = lambda line, receiver: None

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self, *args: Any, **more: Any) -> Tracked:
        made = Tracked(self, self._current(), *args, **more)
        if made.type == socket.SOCK_STREAM and "fileno" in more:
            self._hold(made, self._of_inode.get(os.fstat(made.fileno()).st_ino))
        return made

    def send_fds(self, peer: Tracked, buffers: Iterable[bytes], fds: list[int]) -> int:
        sent = socket.send_fds(peer, buffers, fds)
        line = self._of_inode[os.fstat(fds[0]).st_ino]
        assert peer.receiver is not None
        line.under_way.append(peer.receiver)
        self.changed[line] = None
        self._trace.say(self._current().name, "sends {} to {}", line.name, peer.receiver.name)
        self.sent(line, peer.receiver)
        return sent

    def recv_fds(self, peer: Tracked, size: int, most: int) -> tuple[bytes, list[int], int, Any]:
        data, fds, flags, address = socket.recv_fds(peer, size, most)
        for fd in fds[:1]:
            line = self._of_inode[os.fstat(fd).st_ino]
            line.under_way.remove(peer.owner)
            self.changed[line] = None
        return data, fds, flags, address

    # -- what is noted ---------------------------------------------------------------

    def expect(self, address: bytes, name: str) -> Line:
        """A client that connects from an address."""
        line = self.lines[address] = Line(name)
        return line

    def accepted(self, made: Tracked, address: Any) -> None:
        line = self.lines.get(address)
        if line is not None:
            line.accepted = True
            self._of_inode[os.fstat(made.fileno()).st_ino] = line
            self._hold(made, line)
            self._trace.say(made.owner.name, "accepts {}", line.name)

    def _hold(self, made: Tracked, line: Line | None) -> None:
        if line is not None:
            made.line = line
            line.held[made] = made.owner
            self.changed[line] = None

    def closed(self, sock: Tracked) -> None:
        del self.of[sock.owner][sock]
        line, sock.line = sock.line, None
        if line is not None:
            del line.held[sock]
            line.ended_by, line.ended_ns = sock.owner, self._now_ns()
            self.changed[line] = None

    def end(self, owner: Owner, *, killed: bool) -> None:
        """Everything it has is closed, and what it has not read."""
        for sock in list(self.of.get(owner, ())):
            if sock.line is not None and killed:
                sock.line.lost_with = owner.name
            sock.close()
        for line in self.lines.values():
            if owner in line.under_way:
                if not killed:
                    self._trace.fail(f"{owner.name} ended and had not read {line.name}, which is lost")
                line.under_way = [other for other in line.under_way if other is not owner]
                line.lost_with = owner.name
                self.changed[line] = None
