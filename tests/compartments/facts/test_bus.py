"""ZeroMQ sockets in the loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

import compartments.facts.bus
from compartments.facts.bus import Wire
from compartments.facts.ledger import Ledger
from compartments.facts.replica import Replica
from havok.messages import decode_broadcast, encode
from tests.compartments.loops import Driver, driver


@pytest.fixture
def drive() -> Iterator[Driver]:
    with driver() as made:
        yield made


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
    yield made
    made.term()


class Pair:
    """A ROUTER that remembers, and a DEALER that remembers."""

    def __init__(self, drive: Driver, context: "zmq.Context[zmq.Socket[bytes]]", path: Path) -> None:
        self.asked: list[list[bytes]] = []
        self.answered: list[list[bytes]] = []
        self.router = Wire(drive.loop, context, zmq.ROUTER, self.asked.append)
        self.router.bind(f"ipc://{path}/control.sock")
        self.dealer = Wire(drive.loop, context, zmq.DEALER, self.answered.append)
        self.dealer.connect(f"ipc://{path}/control.sock")

    def close(self) -> None:
        self.router.close()
        self.dealer.close()


@pytest.fixture
def pair(drive: Driver, context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path) -> Iterator[Pair]:
    made = Pair(drive, context, tmp_path)
    yield made
    made.close()


def test_thousands_of_messages_both_ways_lose_no_edge(drive: Driver, pair: Pair) -> None:
    """More than a burst at once, and answers sent from within a receiver."""

    def echo(frames: list[bytes]) -> None:
        pair.router.send(frames)

    pair.router._receive = echo
    for n in range(3000):
        assert pair.dealer.send([b"%d" % n])
    drive.until(lambda: len(pair.answered) == 3000)
    assert [frames[0] for frames in pair.answered] == [b"%d" % n for n in range(3000)]
    for n in range(50):  # and one at a time, so that each is an edge of its own
        pair.dealer.send([b"again %d" % n])
        expected = 3001 + n
        drive.until(lambda: len(pair.answered) >= expected)  # noqa: B023


def test_a_receiver_that_fails_stops_nothing(drive: Driver, pair: Pair) -> None:
    def receive(frames: list[bytes]) -> None:
        pair.asked.append(frames)
        if frames[-1] == b"bad":
            raise RuntimeError("as a bug would")

    pair.router._receive = receive
    for body in (b"bad", b"good", b"bad", b"good"):
        pair.dealer.send([body])
    drive.until(lambda: len(pair.asked) == 4, what="messages behind the failing one")


def test_to_nobody_and_to_somebody_gone_is_false_or_dropped(drive: Driver, pair: Pair) -> None:
    pair.router.send([b"unknown identity", b"hello"])  # ROUTER drops what it cannot route
    drive.turn()
    pair.dealer.close()
    pair.router.close()


def test_a_full_queue_never_blocks(drive: Driver, context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path) -> None:
    dealer = Wire(drive.loop, context, zmq.DEALER, lambda _: None)
    dealer.connect(f"ipc://{tmp_path}/nobody.sock")
    sent = 0
    while dealer.send([b"report"]):
        sent += 1
        assert sent <= compartments.facts.bus.QUEUE_MAX
    print(f"{sent} messages kept for a supervisor that is not there")
    dealer.close()


def test_what_a_slow_subscriber_missed_is_seen_as_a_hole(
    drive: Driver, context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path
) -> None:
    """PUB drops at its high-water mark; the numbers show it, and one State mends it."""
    ledger, replica = Ledger(1), Replica()
    publisher = Wire(drive.loop, context, zmq.PUB)
    publisher.bind(f"ipc://{tmp_path}/bulletin.sock")
    subscriber = context.socket(zmq.SUB)  # read by nobody until later
    subscriber.setsockopt(zmq.RCVHWM, 100)
    subscriber.setsockopt(zmq.LINGER, 0)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"")
    subscriber.connect(f"ipc://{tmp_path}/bulletin.sock")
    replica.receive(ledger.state())
    while not subscriber.poll(1):
        publisher.send([encode(ledger.heartbeat())])  # until the subscription has arrived
    large = b"x" * 10_000
    for n in range(30_000):
        bulletin = ledger.change({"a": b"%d" % n + large})
        assert bulletin is not None
        assert publisher.send([encode(bulletin)]), "PUB never says no, it drops"
    heard = 0
    while subscriber.poll(100):
        replica.receive(decode_broadcast(subscriber.recv()))
        heard += 1
    print(f"{heard} of 30000 bulletins heard")
    assert heard < 30_000
    assert replica.seq < ledger.seq
    publisher.send([encode(ledger.heartbeat())])
    assert subscriber.poll(5000)
    replica.receive(decode_broadcast(subscriber.recv()))
    assert replica.resync_due(0)
    assert replica.receive(ledger.state())
    assert replica.synced
    assert replica.entries == ledger.state().entries
    subscriber.close()
    publisher.close()


def test_messages_over_the_limit_end_the_peer_not_us(
    drive: Driver, pair: Pair, context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path
) -> None:
    rude = context.socket(zmq.DEALER)
    rude.setsockopt(zmq.LINGER, 0)
    rude.connect(f"ipc://{tmp_path}/control.sock")
    rude.send(bytes(compartments.facts.bus.FRAME_BYTES_MAX + 1))
    pair.dealer.send([b"fine"])
    drive.until(lambda: pair.asked)
    assert [frames[-1] for frames in pair.asked] == [b"fine"]
    rude.close()
