"""Who takes connections."""

import socket
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from compartments.channel import Outbox
from compartments.deployment import Deployment, deploy_key, peers_key
from compartments.peers import Peers

encode = msgspec.msgpack.encode
FACTS = {
    peers_key("one"): encode(["/1", "/2", "/3"]),
    peers_key("two"): encode(["/4"]),
    peers_key("idle"): encode([]),
    deploy_key("a"): encode(Deployment("a", "one", 3)),
    deploy_key("b"): encode(Deployment("b", "two", 1)),
    deploy_key("c"): encode(Deployment("c", "idle", 1)),
    "standby/things": encode("x"),
}


class Recorder(Outbox):
    """Remembers where it was asked to send to; `down` are the paths that take nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.down: set[str] = set()

    def send(self, path: str, connection: socket.socket, received: bytes) -> bool:
        self.asked.append(path)
        return path not in self.down


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
