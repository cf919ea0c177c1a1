"""The pool of lines, over real channels: which worker a request goes to, what waits, and what ends."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic_ns

import msgspec
import pytest

from compartments.connections import lines as limits
from compartments.connections.channel import Inbox, Outbox
from compartments.connections.lines import FAILED_NS, IDLE_NS_MAX, WAITING_NS_MAX, Lines
from compartments.connections.peers import Peers
from compartments.facts.deployment import peers_key
from engine.http.head import HeadReader
from engine.http.passage import LINE, RANKS
from engine.http.reactor import Reactor
from engine.http.relay import Relay
from engine.http.route import Elsewhere
from havok.errors import HavokError
from tests.compartments.loops import Driver, driver
from tests.engine.wire import get, post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = get("/v1/a?id=1")
POST = post("/v1/a", b"{}")


class Desk:
    """A worker that takes lines and answers by hand."""

    def __init__(self, reactor: Reactor, path: str) -> None:
        self.ends: list[socket.socket] = []
        self.inbox = Inbox(reactor, path, self._take)

    def _take(self, sock: socket.socket, received: bytes, hops: int) -> None:
        assert (received, hops) == (b"", LINE)
        self.ends.append(sock)

    def answer(self, number: int = -1) -> None:
        assert self.ends[number].recv(100_000)
        self.ends[number].send(OK)

    def end(self) -> None:
        """As the system does when its process is killed."""
        self.inbox.close()
        for sock in self.ends:
            sock.close()


class Exchange:
    """The lines of one worker, and others it may send to."""

    def __init__(self, drive: Driver, path: Path) -> None:
        self.drive = drive
        self.path = path
        self.reactor = Reactor(drive.loop)
        self.peers = Peers("me")
        self.outbox = Outbox()
        self.lines = Lines(drive.loop, self.reactor, self.peers, self.outbox)
        self.desks: dict[str, Desk] = {}
        self.woken: list[Relay] = []

    def place(self, name: str) -> str:
        return str(self.path / f"{name}.sock")

    def open(self, *names: str) -> None:
        """These are the workers of compartment `low` from now on."""
        for name in names:
            if name not in self.desks:
                self.desks[name] = Desk(self.reactor, self.place(name))
        self.peers.follow({peers_key("low"): msgspec.msgpack.encode([self.place(name) for name in names])})
        self.outbox.keep(self.peers.paths)
        self.lines.keep()

    def ask(self, request: bytes = GET) -> Relay:
        head = HeadReader().take(request)
        assert head is not None
        relay = Relay(request, head, Elsewhere("a", "low", RANKS["low"]), _worded, monotonic_ns())
        relay.wake = lambda: self.woken.append(relay)
        self.lines.ask(relay)
        return relay

    def until(self, condition: Callable[[], object]) -> None:
        self.drive.until(condition)

    def answered(self, relay: Relay) -> bytes:
        self.until(lambda: relay in self.woken)
        return relay.take() or b"cut off"

    def close(self) -> None:
        self.lines.close()
        self.outbox.close()
        for desk in self.desks.values():
            desk.end()
        self.reactor.close()


def _worded(error: HavokError) -> bytes:
    return f"{error.code} {error.retry_after_s}: {error.detail}".encode()


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with driver() as drive:
        drive.turn()
        before = len(os.listdir("/proc/self/fd"))
        made = Exchange(drive, tmp_path)
        yield made
        made.close()
        assert drive.unhandled == []
        assert len(os.listdir("/proc/self/fd")) == before, "no descriptor is left"


def test_a_line_is_used_again(exchange: Exchange) -> None:
    exchange.open("one")
    desk = exchange.desks["one"]
    for _ in range(3):
        relay = exchange.ask()
        exchange.until(lambda: desk.ends)
        desk.answer()
        assert exchange.answered(relay) == OK
    assert (len(desk.ends), len(exchange.lines)) == (1, 1)


def test_the_least_busy_worker_is_asked_and_those_alike_in_turn(exchange: Exchange) -> None:
    exchange.open("one", "two", "three")
    for _ in range(9):
        exchange.ask()
    exchange.until(lambda: sum(len(desk.ends) for desk in exchange.desks.values()) == 9)
    assert [len(desk.ends) for desk in exchange.desks.values()] == [3, 3, 3]
    for number in range(3):
        exchange.desks["two"].answer(number)
    exchange.until(lambda: len(exchange.woken) == 3)
    for _ in range(3):
        exchange.ask()
    assert all(end.recv(1, socket.MSG_DONTWAIT) == b"G" for end in exchange.desks["two"].ends), "it had none left"


def test_beyond_the_lines_requests_wait_and_beyond_those_they_are_refused(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINES_MAX", 2)
    monkeypatch.setattr(limits, "WAITING_MAX", 3)
    exchange.open("one")
    relays = [exchange.ask() for _ in range(6)]
    assert exchange.answered(relays[5]).startswith(b"overloaded 1: 3 requests wait")
    desk = exchange.desks["one"]
    exchange.until(lambda: len(desk.ends) == 2)
    for number in range(5):
        desk.answer(number % 2)
        assert exchange.answered(relays[number]) == OK, "first come, first served"
    assert len(desk.ends) == 2


def test_who_is_gone_while_he_waits_is_passed_over(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINES_MAX", 1)
    exchange.open("one")
    first, gone, last = exchange.ask(), exchange.ask(), exchange.ask()
    gone.close()
    desk = exchange.desks["one"]
    exchange.until(lambda: desk.ends)
    for relay in (first, last):
        desk.answer()
        assert exchange.answered(relay) == OK
    assert gone not in exchange.woken


def test_a_request_waits_for_a_worker_to_come(exchange: Exchange) -> None:
    relay = exchange.ask()
    exchange.open("one")
    exchange.until(lambda: exchange.desks["one"].ends)
    exchange.desks["one"].answer()
    assert exchange.answered(relay) == OK


def test_but_not_for_ever(exchange: Exchange) -> None:
    relay, other = exchange.ask(), exchange.ask(POST)
    relay.since_ns -= WAITING_NS_MAX
    other.since_ns -= WAITING_NS_MAX
    for asked in (relay, other):
        assert exchange.answered(asked) == b"overloaded 1: no worker of compartment low can take the request"
    assert len(exchange.lines) == 0


def test_a_worker_that_is_killed_is_replaced_by_its_sibling(exchange: Exchange) -> None:
    exchange.open("one", "two")
    relay = exchange.ask()
    exchange.until(lambda: any(desk.ends for desk in exchange.desks.values()))
    (killed,) = [name for name, desk in exchange.desks.items() if desk.ends]
    (other,) = exchange.desks.keys() - {killed}
    exchange.desks[killed].end()
    exchange.until(lambda: exchange.desks[other].ends)
    exchange.desks[other].answer()
    assert exchange.answered(relay) == OK


def test_or_by_its_successor(exchange: Exchange) -> None:
    """Until that is there, the request waits."""
    exchange.open("one")
    relay, posted = exchange.ask(), exchange.ask(POST)
    exchange.until(lambda: len(exchange.desks["one"].ends) == 2)
    for end in exchange.desks["one"].ends:
        assert end.recv(1000)
    exchange.desks["one"].end()
    assert exchange.answered(posted) == b"overloaded 1: the worker of compartment low that had the request ended"
    exchange.open("two")
    exchange.until(lambda: exchange.desks["two"].ends)
    exchange.desks["two"].answer()
    assert exchange.answered(relay) == OK


def test_no_answer_for_long_is_one(exchange: Exchange) -> None:
    exchange.open("one")
    relay = exchange.ask()
    exchange.until(lambda: exchange.desks["one"].ends)
    relay.since_ns -= round(relay.target.answer_s * 1e9)
    assert exchange.answered(relay) == b"overloaded 1: compartment low did not answer in 30 s"
    assert exchange.desks["one"].ends[0].recv(1000) == GET
    assert exchange.desks["one"].ends[0].recv(1000) == b"", "nobody listens there any more"


def test_an_answer_that_stops_in_the_middle_is_cut_off(exchange: Exchange) -> None:
    exchange.open("one")
    relay = exchange.ask()
    exchange.until(lambda: exchange.desks["one"].ends)
    exchange.desks["one"].ends[0].send(OK[:-1])
    assert exchange.answered(relay) == OK[:-1]
    exchange.woken.clear()
    relay.since_ns -= round(relay.target.answer_s * 1e9)
    assert exchange.answered(relay) == b"cut off"


def test_a_line_that_is_long_idle_is_closed(exchange: Exchange) -> None:
    exchange.open("one")
    relay = exchange.ask()
    desk = exchange.desks["one"]
    exchange.until(lambda: desk.ends)
    desk.answer()
    assert exchange.answered(relay) == OK
    exchange.lines._idle[exchange.place("one")][0].since_ns -= IDLE_NS_MAX
    exchange.until(lambda: len(exchange.lines) == 0)
    assert desk.ends[0].recv(1) == b""


def test_lines_to_who_left_carry_what_they_carry_and_end(exchange: Exchange) -> None:
    exchange.open("one", "two")
    relays = [exchange.ask() for _ in range(4)]
    ends = [exchange.desks["one"].ends, exchange.desks["two"].ends]
    exchange.until(lambda: [len(each) for each in ends] == [2, 2])
    exchange.desks["one"].answer(0)
    exchange.until(lambda: len(exchange.woken) == 1)
    exchange.open("two")
    assert ends[0][0].recv(1) == b"", "the idle one is closed"
    exchange.desks["one"].answer(1)
    for number in range(2):
        exchange.desks["two"].answer(number)
    assert [exchange.answered(relay) for relay in relays] == [OK] * 4
    assert ends[0][1].recv(1) == b"", "and the other one after its answer"
    assert len(exchange.lines) == 2


def test_no_descriptors_is_no_line_for_now(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[socket.socket, socket.socket]:
        raise OSError("out of descriptors")

    exchange.open("one")
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", none_left)
        relay = exchange.ask()
    exchange.until(lambda: exchange.desks["one"].ends)
    exchange.desks["one"].answer()
    assert exchange.answered(relay) == OK


def test_a_worker_that_ended_a_line_and_lives_is_tried_again_a_moment_later(exchange: Exchange) -> None:
    """Not at once: one that is killed still takes connections when its first sockets are closed."""
    exchange.open("one")
    relay = exchange.ask()
    desk = exchange.desks["one"]
    exchange.until(lambda: desk.ends)
    desk.ends[0].close()
    exchange.until(lambda: relay.failed_at is not None)
    exchange.drive.turn(30)
    assert len(desk.ends) == 1
    relay.since_ns -= FAILED_NS
    exchange.until(lambda: len(desk.ends) == 2)
    desk.answer()
    assert exchange.answered(relay) == OK
