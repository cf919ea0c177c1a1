"""Connections passed between processes."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import NamedTuple

import pytest

from compartments.connections.channel import MESSAGE_BYTES_MAX, RECEIVED_BYTES_MAX, Inbox, Outbox
from engine.http.head import BODY_BYTES_MAX
from tests.compartments.loops import Driver, driver
from tests.compartments.room import Room
from tests.engine.making import route_of, write_airports
from tests.engine.wire import Wire, chunked, elsewhere, get, parse_answers, post


@pytest.fixture
def drive() -> Iterator[Driver]:
    with driver() as made:
        yield made


@pytest.fixture
def room(drive: Driver, tmp_path: Path) -> Iterator[Room]:
    made = Room(drive, tmp_path)
    yield made
    made.close()


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, MESSAGE_BYTES_MAX])
def test_a_connection_arrives_with_exactly_its_bytes(room: Room, size: int) -> None:
    content = os.urandom(size)
    sent, client = room.send(content)
    assert sent
    room.drive.until(lambda: room.taken)
    ((sock, received),) = room.taken
    assert received == content
    assert not sock.getblocking()
    assert not sock.get_inheritable(), "an executor would keep it open"
    sock.send(b"hello")
    assert client.recv(5) == b"hello", "it is the very connection"
    client.close()


@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX + 1, 500_000, RECEIVED_BYTES_MAX])
def test_more_than_a_message_takes_goes_in_a_file(room: Room, size: int) -> None:
    """A request whose service moved while its body came; whatever the system's limits on messages."""
    before = open_fds()
    content = os.urandom(size)
    sent, client = room.send(content)
    assert sent
    room.drive.until(lambda: room.taken)
    ((sock, received),) = room.taken
    assert received == content
    assert client.send(b"hello") == 5
    assert sock.recv(5) == b"hello", "it is the very connection"
    client.close()
    room.taken.pop()[0].close()
    assert open_fds() - before <= 2, "the channel itself"


@pytest.mark.parametrize("ask", [post, chunked], ids=["by length", "in chunks"])
def test_the_longest_request_goes_after_its_service(tmp_path: Path, ask: Callable[[str, bytes], bytes]) -> None:
    """Which moved while the body came: it is served there, not refused here."""
    outbox, path = Outbox(), str(tmp_path / "inbox.sock")
    here, there = Wire(lambda sock, received, hops, _: outbox.send(path, sock, received, hops)), Wire()
    inbox = Inbox(there.server.reactor, path, there.server.accept)
    old = route_of(write_airports(tmp_path / "here"))
    here.deploy(airport=old)
    there.deploy(airport=route_of(write_airports(tmp_path / "there")))
    content = b'{"keys":["JFK"]}'.ljust(BODY_BYTES_MAX)
    request = ask("/v1/airport", content).replace(b"\r\n", b"\r\nX-Long: %b\r\n" % (b"x" * 16_000), 1)
    client = here.client()
    client.send(request[:-9])
    here.turn(5)
    here.deploy(airport=elsewhere())
    old.program.close()
    client.send(request[-9:] + get("/v1/airport?faa=LGA") * 100)

    def answered() -> bool:
        there.turn()
        client.read()
        return client.received.count(b"HTTP/1.1 ") == 101

    here.turn_until(answered)
    assert [answer.status for answer in parse_answers(client.received)] == [200] * 101
    assert here.server.hand_overs.count == 1
    inbox.close()
    outbox.close()
    here.close()
    there.close()


def test_a_connection_without_memory_for_its_bytes_stays_with_the_sender(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENFILE, "Too many open files in system")

    monkeypatch.setattr(os, "memfd_create", full)
    sent, end = room.send(b"x" * (MESSAGE_BYTES_MAX + 1))
    assert not sent
    end.close()
    sent, client = room.send(b"x")
    assert sent, "the channel is as good as before"
    room.drive.until(lambda: room.taken)
    client.close()


def test_bytes_that_no_connection_has_stay_with_the_sender(room: Room) -> None:
    sent, end = room.send(b"x" * (RECEIVED_BYTES_MAX + 1))
    assert not sent
    assert end.fileno() >= 0
    end.close()
    room.drive.turn()
    assert room.taken == []


def test_hundreds_in_flight_then_full_then_all_arrive(room: Room) -> None:
    before = open_fds()
    clients: list[socket.socket] = []
    for _ in range(100_000):
        sent, sock = room.send(b"GET / HTTP/1.1\r\n%d" % len(clients))
        if not sent:
            sock.close()
            break
        clients.append(sock)
    print(f"{len(clients)} connections in flight before the queue was full")
    assert len(clients) >= 300
    room.drive.until(lambda: len(room.taken) == len(clients))
    numbers = [int(received.rpartition(b"\n")[2]) for _, received in room.taken]
    assert numbers == list(range(len(clients))), "in order, none lost, none doubled"
    sent, sock = room.send(b"again")
    assert sent, "there is room again"
    sock.close()
    room.drive.until(lambda: len(room.taken) == len(clients) + 1)
    for sock in (*clients, *(sock for sock, _ in room.taken)):
        sock.close()
    room.taken.clear()
    room.drive.turn()
    assert open_fds() - before <= 2, "the channel itself"


class Short(NamedTuple):
    """How a loop lived that was short of descriptors, seen before it had more again."""

    cpu_s: float
    taken: int  # connections
    free: int  # descriptors, for others


def live_short(room: Room, limit: int, seconds: float = 0.3) -> Short:
    """For so long, with so many descriptors."""

    async def live() -> Short:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
        try:
            begun = process_time()
            await asyncio.sleep(seconds)
            return Short(process_time() - begun, len(room.taken), free_fds())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    return room.drive.loop.run_until_complete(live())


def free_fds() -> int:
    """Counted by taking them all for a moment."""
    taken: list[int] = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return len(taken)
    finally:
        for fd in taken:
            os.close(fd)


def flood(path: str, connection: socket.socket, count: int) -> list[Outbox]:
    """The same connection sent so many times, by as many senders as have room for it in their queues."""
    senders = [Outbox()]
    for number in range(count):
        if not senders[-1].send(path, connection, b"%d" % number):
            senders.append(Outbox())
            assert senders[-1].send(path, connection, b"%d" % number)
    return senders


def test_without_descriptors_connections_wait_and_none_is_lost(room: Room) -> None:
    """FAULTS 31: no spin, and all are taken after relief.

    More are sent than the process may have descriptors: whatever others close meanwhile, not all can be taken.
    """
    limit = max(256, *(int(fd) + 100 for fd in os.listdir("/proc/self/fd")))
    end, client = socket.socketpair()
    senders = flood(room.path, end, limit)
    short = live_short(room, limit)
    assert 0 < short.taken < limit
    assert short.free >= 16, "some descriptors are left for others"
    assert short.cpu_s < 0.1
    room.drive.until(lambda: len(room.taken) == limit)
    assert sorted(int(received) for _, received in room.taken) == list(range(limit))
    for outbox in senders:
        outbox.close()
    end.close()
    client.close()


def test_a_sender_nobody_can_accept_now_is_no_reason_to_spin(room: Room) -> None:
    end, client = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sender:
        sender.connect(room.path)
        assert live_short(room, 3).cpu_s < 0.1
        socket.send_fds(sender, [b"\x01\x00hello"], [end.fileno()])
        room.drive.until(lambda: room.taken)
    end.close()
    client.close()


def test_nobody_there(drive: Driver, tmp_path: Path) -> None:
    outbox = Outbox()
    end, client = socket.socketpair()
    before = open_fds()
    assert not outbox.send(str(tmp_path / "none.sock"), end, b"")
    assert open_fds() == before
    end.send(b"still mine")
    assert client.recv(10) == b"still mine"
    end.close()
    client.close()


def test_a_receiver_that_died_and_its_successor(room: Room, tmp_path: Path) -> None:
    sent, client = room.send(b"1")
    assert sent
    client.close()
    room.inbox.close()
    sent, end = room.send(b"2")
    assert not sent, "its peer is gone"
    end.close()
    room.inbox = Inbox(room.reactor, room.path, lambda sock, received, _: room.taken.append((sock, received)))
    sent, client = room.send(b"3")
    assert sent, "the same path is another process now"
    room.drive.until(lambda: room.taken and room.taken[-1][1] == b"3")
    client.close()


def test_what_a_dead_sender_sent_arrives(room: Room) -> None:
    clients = [room.send(b"%d" % n)[1] for n in range(50)]
    room.outbox.close()
    room.drive.until(lambda: len(room.taken) == 50)
    for client in clients:
        client.close()


def test_closing_takes_all_that_was_sent_before(room: Room) -> None:
    """More than one burst, and a sender that was not even accepted yet."""
    clients = [room.send(b"%d" % n)[1] for n in range(200)]
    room.inbox.close()
    assert [received for _, received in room.taken] == [b"%d" % n for n in range(200)]
    for client in clients:
        client.close()


def test_garbage_is_dropped_and_its_descriptors_closed(room: Room) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as rude:
        rude.connect(room.path)
        before = open_fds()
        end, client = socket.socketpair()
        socket.send_fds(rude, [b"\x02\x00who knows"], [end.fileno()])
        socket.send_fds(rude, [b"\x01\x00two"], [end.fileno(), end.fileno()])
        socket.send_fds(rude, [b"\x02\x00"], [end.fileno(), end.fileno()])  # no file
        socket.send_fds(rude, [b"\x02\x00"], [end.fileno()])
        socket.send_fds(rude, [b"\x01"], [end.fileno()])
        socket.send_fds(rude, [b"\x03\x00"], [end.fileno()])
        rude.send(b"\x01\x00none")
        socket.send_fds(rude, [b""], [end.fileno()])  # no byte at all
        end.close()
        client.settimeout(5)
        room.drive.turn(10)
        assert client.recv(1) == b"", "no copy of the other end is left open"
        client.close()
        assert room.taken == []
        room.drive.turn()
        assert open_fds() - before <= 1
    sent, client = room.send(b"fine")
    assert sent
    room.drive.until(lambda: room.taken)
    client.close()


def test_paths_of_processes_that_are_gone_are_closed(room: Room) -> None:
    before = open_fds()
    room.send(b"")[1].close()
    room.drive.until(lambda: room.taken)
    room.taken.pop()[0].close()
    room.outbox.keep({room.path})
    assert open_fds() == before + 2
    room.outbox.keep(set())
    room.drive.turn()
    assert open_fds() == before
