"""Who takes connections."""

import socket
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from compartments.connections.channel import Outbox
from compartments.connections.peers import Peers
from compartments.facts.deployment import Deployment, deploy_key, limits_key, peers_key

encode = msgspec.msgpack.encode
FACTS = {
    peers_key("one"): encode(["/1", "/2", "/3"]),
    peers_key("two"): encode(["/4"]),
    peers_key("idle"): encode([]),
    deploy_key("a"): encode(Deployment("a", "one")),
    deploy_key("b"): encode(Deployment("b", "two")),
    deploy_key("c"): encode(Deployment("c", "idle")),
    "standby/things": encode("x"),
}


class Recorder(Outbox):
    """Remembers where it was asked to send to; `down` are the paths that take nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.down: set[str] = set()
        self.counts: dict[str, int] = {}  # of connections, by path

    def send(self, path: str, connection: socket.socket, received: bytes, hops: int = 0) -> bool:
        self.asked.append(path)
        return path not in self.down

    def count(self, path: str) -> int | None:
        return self.counts.get(path)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def test_turns_are_taken(sock: socket.socket) -> None:
    peers, outbox = Peers(), Recorder()
    peers.follow(FACTS)
    for _ in range(300):
        assert peers.send(outbox, "one", sock, b"")
    assert Counter(outbox.asked) == {"/1": 100, "/2": 100, "/3": 100}


def test_each_compartment_takes_its_own_turns(sock: socket.socket) -> None:
    """Connections often come for two compartments alternately: with one turn for all, every second worker starves."""
    peers, outbox = Peers(), Recorder()
    peers.follow({peers_key("one"): encode(["/1", "/2"]), peers_key("two"): encode(["/3", "/4"])})
    for name in ("one", "two") * 50:
        assert peers.send(outbox, name, sock, b"")
    assert Counter(outbox.asked) == {"/1": 25, "/2": 25, "/3": 25, "/4": 25}
    outbox.asked.clear()
    for name in ("one", None) * 40:
        assert peers.send(outbox, name, sock, b"")
    assert Counter(outbox.asked) == {"/1": 30, "/2": 30, "/3": 10, "/4": 10}, "those of nobody have theirs as well"


def test_who_cannot_be_reached_is_passed_over(sock: socket.socket) -> None:
    peers, outbox = Peers(), Recorder()
    peers.follow(FACTS)
    outbox.down = {"/1", "/3"}
    assert all(peers.send(outbox, "one", sock, b"") for _ in range(10))
    outbox.down = {"/1", "/2", "/3"}
    outbox.asked.clear()
    assert not peers.send(outbox, "one", sock, b"")
    assert sorted(outbox.asked) == ["/1", "/2", "/3"], "each was tried once"


def test_nobody_there(sock: socket.socket) -> None:
    peers, outbox = Peers(), Recorder()
    assert not peers.send(outbox, None, sock, b"")
    peers.follow(FACTS)
    assert not peers.send(outbox, "idle", sock, b"")
    assert not peers.send(outbox, "unheard of", sock, b"")
    assert outbox.asked == []


def test_what_has_no_owner_goes_to_anybody(sock: socket.socket) -> None:
    peers, outbox = Peers(), Recorder()
    peers.follow(FACTS)
    assert (peers.owner("a"), peers.owner("b"), peers.owner("x")) == ("one", "two", None)
    for _ in range(40):
        assert peers.send(outbox, None, sock, b"")
    assert set(outbox.asked) == {"/1", "/2", "/3", "/4"}


def test_facts_replace_facts() -> None:
    peers = Peers()
    peers.follow(FACTS)
    assert peers.paths == {"/1", "/2", "/3", "/4"}
    peers.follow({peers_key("two"): encode(["/5"])})
    assert peers.paths == {"/5"}
    assert peers.owner("a") is None


def test_a_compartment_is_full_with_as_many_connections_as_it_may_have(sock: socket.socket) -> None:
    peers, outbox = Peers(), Recorder()
    peers.follow({**FACTS, limits_key("one"): encode(10)})
    outbox.counts = {"/1": 3, "/2": 3, "/3": 3, "/4": 1000}
    assert not peers.full(outbox, "one")
    outbox.counts["/2"] = 4
    assert peers.full(outbox, "one")
    assert not peers.full(outbox, "two"), "it has no limit"
    assert not peers.full(outbox, "unheard of")
    assert not peers.full(outbox, None), "others have room"
    assert not peers.send(outbox, "one", sock, b""), "whoever did not ask before is told no as well"
    assert peers.send(outbox, "one", sock, b"", inside=True), "one of its own goes from worker to worker"
    outbox.asked.clear()
    for _ in range(6):
        assert peers.send(outbox, None, sock, b"")
    assert set(outbox.asked) == {"/4"}, "what has no owner goes where there is room"


def test_only_when_all_are_full_is_there_no_room_for_what_nobody_owns() -> None:
    peers, outbox = Peers(), Recorder()
    limits = {limits_key(name): encode(1) for name in ("one", "two")}
    peers.follow({peers_key("one"): encode(["/1"]), peers_key("two"): encode(["/2"]), **limits})
    outbox.counts = {"/1": 1, "/2": 0}
    assert not peers.full(outbox, None)
    outbox.counts["/2"] = 1
    assert peers.full(outbox, None)


def test_until_every_worker_has_said_its_count_nobody_is_sent_anything(sock: socket.socket) -> None:
    """Else a new gate lets in who finds one of two workers that has room."""
    peers, outbox = Peers(), Recorder()
    peers.follow({peers_key("one"): encode(["/1", "/2"]), limits_key("one"): encode(10)})
    outbox.counts["/2"] = 0
    assert not peers.full(outbox, "one"), "it is asked again in a moment, not refused"
    assert not peers.send(outbox, "one", sock, b"")
    assert not peers.send(outbox, None, sock, b"")
    outbox.counts["/1"] = 4
    assert all(peers.send(outbox, "one", sock, b"") for _ in range(4))
    assert set(outbox.asked) == {"/1", "/2"}


def test_a_limit_that_is_lifted_counts_no_more() -> None:
    peers, outbox = Peers(), Recorder()
    facts = {peers_key("one"): encode(["/1"])}
    outbox.counts = {"/1": 1}
    peers.follow({**facts, limits_key("one"): encode(1)})
    assert peers.full(outbox, "one")
    peers.follow(facts)
    assert not peers.full(outbox, "one")
