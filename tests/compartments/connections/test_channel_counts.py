"""What a sender knows of a receiver's connections."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from compartments.connections.channel import Outbox
from tests.compartments.loops import driver
from tests.compartments.room import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with driver() as drive:
        made = Room(drive, tmp_path)
        yield made
        made.close()


def test_the_sender_knows_how_many_connections_there_are(room: Room) -> None:
    """Those he sent a moment ago among them, before anybody has read anything."""
    assert room.outbox.count(room.path) is None, "it has not said so yet"
    room.drive.until(lambda: room.outbox.count(room.path) == 0)
    clients = [room.send()[1] for _ in range(5)]
    assert room.outbox.count(room.path) == 5
    room.drive.until(lambda: len(room.taken) == 5)
    assert room.outbox.count(room.path) == 5
    room.inbox.tell()
    assert room.outbox.count(room.path) == 5
    room.taken.pop()[0].close()
    assert room.outbox.count(room.path) == 5, "he is not told at once"
    room.inbox.tell()
    assert room.outbox.count(room.path) == 4
    for client in clients:
        client.close()


def test_what_others_sent_is_counted_as_well(room: Room) -> None:
    other = Outbox()
    room.drive.until(lambda: room.outbox.count(room.path) == 0)
    end, client = socket.socketpair()
    assert other.send(room.path, end, b"")
    room.drive.until(lambda: room.taken)
    room.inbox.tell()
    assert room.outbox.count(room.path) == 1
    assert other.count(room.path) is None
    room.drive.until(lambda: other.count(room.path) == 1)
    for sock in (end, client):
        sock.close()
    other.close()


def test_who_asked_and_never_listens_is_told_when_he_does(room: Room) -> None:
    room.drive.until(lambda: room.outbox.count(room.path) == 0)
    pair = socket.socketpair()
    for _ in range(2000):  # more than his socket takes
        room.taken.append((pair[0], b""))
        room.inbox.tell()
    room.outbox.count(room.path)
    room.inbox.tell()
    assert room.outbox.count(room.path) == 2000
    room.taken.clear()
    for sock in pair:
        sock.close()


def test_who_asked_and_is_gone_is_told_nothing(room: Room) -> None:
    room.drive.until(lambda: room.outbox.count(room.path) == 0)
    room.outbox.close()
    room.taken.clear()
    room.inbox.tell()
    room.drive.until(lambda: not room.inbox._told)
    room.inbox.tell()


def test_one_that_is_gone_has_none(room: Room) -> None:
    """Though nobody may have said yet that it is: without a supervisor nobody does."""
    assert Outbox().count(room.path + ".none") == 0
    room.drive.until(lambda: room.outbox.count(room.path) == 0)
    end, client = socket.socketpair()
    assert room.outbox.send(room.path, end, b"")
    assert room.outbox.count(room.path) == 1
    room.inbox.close()
    assert room.outbox.count(room.path) == 0
    for sock in (end, client):
        sock.close()
