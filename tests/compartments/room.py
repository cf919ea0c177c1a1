"""An inbox and an outbox in one process."""

import socket
from pathlib import Path

from compartments.connections.channel import Inbox, Outbox
from engine.http.reactor import Reactor
from tests.compartments.loops import Driver

Taken = list[tuple[socket.socket, bytes]]


class Room:
    """A receiver and a sender in one process; what arrives lies in `taken`."""

    def __init__(self, drive: Driver, path: Path) -> None:
        self.drive = drive
        self.reactor = Reactor(drive.loop)
        self.path = str(path / "inbox.sock")
        self.taken: Taken = []
        self.inbox = Inbox(self.reactor, self.path, lambda sock, received, _hops: self.taken.append((sock, received)),
                           lambda: len(self.taken))  # fmt: skip
        self.outbox = Outbox()

    def send(self, received: bytes = b"") -> tuple[bool, socket.socket]:
        """Sends one end of a pair, closes it when it went; the other end is the client."""
        end, client = socket.socketpair()
        sent = self.outbox.send(self.path, end, received)
        if sent:
            end.close()
            return True, client
        client.close()
        return False, end

    def close(self) -> None:
        self.outbox.close()
        self.inbox.close()
        for sock, _ in self.taken:
            sock.close()
        self.reactor.close()
