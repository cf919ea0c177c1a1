"""How often a connection moved lately, beside it in the channel."""

import socket
from pathlib import Path

import pytest

from compartments.connections.channel import MESSAGE_BYTES_MAX, Inbox, Outbox
from engine.http.reactor import Reactor
from tests.compartments.loops import driver


@pytest.mark.parametrize("size", [0, 5, MESSAGE_BYTES_MAX + 1])
@pytest.mark.parametrize("hops", [0, 1, 255])
def test_hops_travel_with_a_connection(tmp_path: Path, size: int, hops: int) -> None:
    taken: list[tuple[socket.socket, int, int]] = []
    with driver() as drive:
        reactor, outbox, path = Reactor(drive.loop), Outbox(), str(tmp_path / "inbox.sock")
        inbox = Inbox(reactor, path, lambda sock, received, hops: taken.append((sock, len(received), hops)))
        end, client = socket.socketpair()
        assert outbox.send(path, end, b"x" * size, hops)
        end.close()
        drive.until(lambda: taken)
        ((sock, arrived, told),) = taken
        assert (arrived, told) == (size, hops)
        for each in (sock, client, outbox, inbox, reactor):
            each.close()
