"""The bus of a simulated node: what stands for ZeroMQ's sockets, and what may happen to a message.

Rule: as ZeroMQ has it. PUB drops silently what nobody is connected for; DEALER keeps what it
is to send until it is connected, and connects again to whoever binds next; what was under
way to one that died is gone; ROUTER answers a connection, which a successor does not know.
On top of that the dice lose, double and delay broadcasts, and lose some questions.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from tests.simulation.loop import Loop, Owner
from tests.simulation.trace import Trace

LATENCY_NS_MAX = 4_000_000
STRAY_NS_MAX = 60_000_000  # of a message that others overtake
RECONNECT_NS_MAX = 150_000_000  # ZeroMQ's own is 100 ms, with some chance in it
QUEUE_MAX = 10_000


class Weather:
    """What is drawn against, for each message."""

    def __init__(self, loss: float = 0.0, control_loss: float = 0.0, stray: float = 0.0, double: float = 0.0) -> None:
        self.loss = loss
        self.control_loss = control_loss
        self.stray = stray
        self.double = double


class Network:
    def __init__(self, loop: Loop, dice: random.Random, trace: Trace, weather: Weather) -> None:
        self.loop = loop
        self.dice = dice
        self.trace = trace
        self.weather = weather
        self.since_ns = loop.now_ns  # of this weather
        self.bound: dict[str, Wire] = {}
        self.connecting: dict[str, list[Wire]] = {}
        self.wires = 0

    def change(self, weather: Weather) -> None:
        self.weather = weather
        self.since_ns = self.loop.now_ns

    def attach_soon(self, wire: "Wire", within_ns: int) -> None:
        at_ns = self.loop.now_ns + int(self.dice.random() * within_ns)
        self.loop.at(at_ns, wire.owner, wire.attach)

    def carry(self, target: "Wire", frames: list[bytes], line: "_Line", *, broadcast: bool) -> None:
        dice, weather = self.dice, self.weather
        if dice.random() < (weather.loss if broadcast else weather.control_loss):
            return
        at_ns = self.loop.now_ns + int(dice.random() ** 2 * LATENCY_NS_MAX)
        if broadcast and dice.random() < weather.stray:
            at_ns += int(dice.random() * STRAY_NS_MAX)
        else:
            at_ns = line.last_ns = max(at_ns, line.last_ns + 1)
        self.loop.at(at_ns, target.owner, target.deliver, frames, line)
        if broadcast and dice.random() < weather.double:
            self.loop.at(at_ns + int(dice.random() * STRAY_NS_MAX), target.owner, target.deliver, frames, line)

    def forget(self, owner: Owner) -> None:
        """Of a process that died."""
        for wires in ([*self.bound.values()], *self.connecting.values()):
            for wire in list(wires):
                if wire.owner is owner:
                    wire.close()


class _Line:
    """One connection, in one direction: what is sent on it keeps its order."""

    def __init__(self, identity: bytes = b"") -> None:
        self.identity = identity
        self.last_ns = 0
        self.open = True


class _Options:
    closed = False

    def setsockopt(self, _option: int, _value: object) -> None:
        pass


class Wire:
    """Takes the place of `compartments.facts.bus.Wire`."""

    network: Network  # set on the class of a run

    def __init__(
        self, loop: Any, context: object, kind: int, receive: Callable[[list[bytes]], None] | None = None
    ) -> None:
        self.owner: Owner = loop.current
        self.network.wires += 1
        self.number = self.network.wires
        self.kind = kind
        self.receive = receive
        self.socket = _Options()
        self.address = ""
        self.peer: Wire | None = None
        self.generation = 0
        self.waiting: list[list[bytes]] = []
        self.out = self.back = _Line()
        self.lines: dict[bytes, Wire] = {}  # of one that is bound: identity → who connected

    def bind(self, address: str) -> None:
        self.address = address
        self.network.bound[address] = self
        for wire in self.network.connecting.get(address, []):
            self.network.attach_soon(wire, RECONNECT_NS_MAX)

    def connect(self, address: str) -> None:
        self.address = address
        self.network.connecting.setdefault(address, []).append(self)
        self.network.attach_soon(self, LATENCY_NS_MAX)

    def attach(self) -> None:
        bound = self.network.bound.get(self.address)
        if bound is None or self.peer is bound or self.socket.closed:
            return
        self.peer = bound
        self.generation += 1
        identity = b"%d/%d" % (self.number, self.generation)
        self.out, self.back = _Line(identity), _Line(identity)
        bound.lines[identity] = self
        waiting, self.waiting = self.waiting, []
        for frames in waiting:
            self._say(frames)

    def send(self, frames: Sequence[bytes]) -> bool:
        if self.socket.closed:
            return False
        network = self.network
        if self.kind == zmq.PUB:
            for wire in self.lines.values():
                network.carry(wire, list(frames), wire.back, broadcast=True)
        elif self.kind == zmq.ROUTER:
            identity, *rest = frames
            wire_ = self.lines.get(identity)
            if wire_ is None:
                return False
            network.carry(wire_, rest, wire_.back, broadcast=False)
        elif self.peer is None:
            if len(self.waiting) >= QUEUE_MAX:
                return False
            self.waiting.append(list(frames))
        else:
            self._say(list(frames))
        return True

    def _say(self, frames: list[bytes]) -> None:
        assert self.peer is not None
        self.network.carry(self.peer, [self.out.identity, *frames], self.out, broadcast=False)

    def deliver(self, frames: list[bytes], line: _Line) -> None:
        if line.open and not self.socket.closed and self.receive is not None:
            self.receive(frames)

    def close(self) -> None:
        if self.socket.closed:
            return
        self.socket.closed = True
        network = self.network
        if network.bound.get(self.address) is self:
            del network.bound[self.address]
            for wire in self.lines.values():
                wire.peer = None  # what it was told already may still arrive
        elif self in network.connecting.get(self.address, []):
            network.connecting[self.address].remove(self)
            self.out.open = False
            if self.peer is not None:
                self.peer.lines.pop(self.out.identity, None)


class Context:
    """Takes the place of ZeroMQ's."""

    def __init__(self, _threads: int = 1) -> None:
        pass

    def term(self) -> None:
        pass
