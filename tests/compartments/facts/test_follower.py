"""A process's link to its supervisor, over real sockets, with what is lost on the way."""

import random
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import zmq

from compartments.facts.bus import Wire
from compartments.facts.follower import Follower
from compartments.facts.ledger import Ledger
from havok.layout import bulletin_socket, control_socket, make_run_dir
from havok.messages import Broadcast, Report, Resync, decode_inbound, encode
from tests.compartments.loops import Driver, driver


class Desk:
    """A supervisor's end: it says what changes, of which `loss` is lost, and answers questions."""

    def __init__(self, drive: Driver, path: Path, epoch: int = 1) -> None:
        make_run_dir(path)
        self.drive = drive
        self.ledger = Ledger(epoch)
        self.reports: dict[str, Report] = {}
        self.reported = 0
        self.questions = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._bulletins = Wire(drive.loop, self._context, zmq.PUB)
        self._bulletins.bind(bulletin_socket(path))
        self._control = Wire(drive.loop, self._context, zmq.ROUTER, self._receive)
        self._control.bind(control_socket(path))

    def _receive(self, frames: list[bytes]) -> None:
        message = decode_inbound(frames[-1])
        if isinstance(message, Resync):
            self.questions += 1
            self._control.send([frames[0], encode(self.ledger.state())])
        else:
            assert isinstance(message, Report)
            self.reports[message.process] = message
            self.reported += 1

    def say(self, message: Broadcast | None) -> None:
        if message is not None:
            self._bulletins.send([encode(message)])

    def close(self) -> None:
        self._bulletins.close()
        self._control.close()
        self._context.term()


class Ear(Follower):
    """A follower that remembers every state it was shown."""

    def __init__(self, drive: Driver, path: Path, name: str) -> None:
        self.shown: list[dict[str, bytes]] = []
        super().__init__(drive.loop, path, name, self._show, lambda epoch, seq: Report(name, 1, epoch, seq))

    def _show(self, entries: dict[str, bytes]) -> None:
        self.shown.append(dict(entries))


@pytest.fixture
def drive() -> Iterator[Driver]:
    with driver() as made:
        yield made


def test_a_late_joiner_has_it_all(drive: Driver, tmp_path: Path) -> None:
    desk = Desk(drive, tmp_path)
    for n in range(5):
        desk.ledger.change({"a": b"%d" % n})
    ear = Ear(drive, tmp_path, "one-1")
    drive.until(lambda: ear.shown)
    assert ear.shown == [{"a": b"4"}], "once, whole"
    drive.until(lambda: desk.reports and desk.reports["one-1"].seq == 5)
    ear.close()
    desk.close()


def test_changes_are_followed_and_acknowledged(drive: Driver, tmp_path: Path) -> None:
    desk = Desk(drive, tmp_path)
    ear = Ear(drive, tmp_path, "one-1")
    drive.until(lambda: ear.replica.synced)
    drive.turn(20)
    times = []
    for n in range(50):
        started = monotonic()
        desk.say(desk.ledger.change({"a": b"%d" % n}))
        drive.until(lambda: desk.reports["one-1"].seq == desk.ledger.seq)
        times.append(monotonic() - started)
    print(f"from change to acknowledgement: median {sorted(times)[25] * 1000:.2f} ms")
    assert ear.replica.entries == {"a": b"49"}
    ear.close()
    desk.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_third_of_the_broadcasts_lost(drive: Driver, tmp_path: Path, seed: int) -> None:
    """FAULTS 18 over real sockets: the sender drops what is lost."""
    dice = random.Random(seed)
    desk = Desk(drive, tmp_path)
    ears = [Ear(drive, tmp_path, f"one-{n}") for n in range(3)]
    drive.until(lambda: all(ear.replica.synced for ear in ears))
    states = {0: desk.ledger.state().entries}
    for n in range(2000):
        bulletin = desk.ledger.change({f"k{dice.randrange(9)}": b"%d" % n})
        states[desk.ledger.seq] = desk.ledger.state().entries
        if dice.random() > 0.3:
            desk.say(bulletin)
        if n % 20 == 0:
            desk.say(desk.ledger.heartbeat())
            drive.turn(1)
    desk.say(desk.ledger.heartbeat())
    last = desk.ledger.state().entries
    drive.until(lambda: all(ear.replica.entries == last for ear in ears))
    drive.until(lambda: all(desk.reports[f"one-{n}"].seq == desk.ledger.seq for n in range(3)))
    known = list(states.values())
    for ear in ears:
        assert all(shown in known for shown in ear.shown), "a mix of two states"
    print(f"seed {seed}: {desk.questions} resyncs for 2000 changes to 3 followers")
    for ear in ears:
        ear.close()
    desk.close()


def test_without_a_supervisor_the_facts_stay_and_its_successor_is_followed(drive: Driver, tmp_path: Path) -> None:
    desk = Desk(drive, tmp_path)
    desk.ledger.change({"a": b"old"})
    ear = Ear(drive, tmp_path, "one-1")
    drive.until(lambda: ear.shown)
    desk.close()
    drive.turn(100)
    assert ear.replica.entries == {"a": b"old"}
    successor = Desk(drive, tmp_path, epoch=2)
    successor.ledger.change({"a": b"new"})

    def heard() -> bool:
        successor.say(successor.ledger.heartbeat())
        return ear.replica.entries == {"a": b"new"}

    drive.until(heard)
    drive.until(lambda: successor.reports and successor.reports["one-1"].epoch == 2)
    ear.close()
    successor.close()


def test_reports_come_regularly_and_once_a_tick(drive: Driver, tmp_path: Path) -> None:
    desk = Desk(drive, tmp_path)
    ear = Ear(drive, tmp_path, "one-1")
    drive.until(lambda: desk.reported)
    for _ in range(1000):
        ear.acknowledge()
    before = desk.reported
    drive.turn(20)
    assert desk.reported <= before + 2, "a thousand reasons, one report"
    before = desk.reported
    drive.until(lambda: desk.reported >= before + 5, 2)
    ear.close()
    desk.close()


def test_closing_leaves_nothing(drive: Driver, tmp_path: Path) -> None:
    desk = Desk(drive, tmp_path)
    ear = Ear(drive, tmp_path, "one-1")
    drive.until(lambda: ear.replica.synced)
    ear.acknowledge()
    ear.close()
    desk.close()
    drive.turn(100)
    assert drive.unhandled == []
