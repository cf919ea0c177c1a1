"""Which workers take connections, by compartment and by service.

Rule: turns are taken (round robin) among the workers the supervisor lists, in each compartment
by itself; one that cannot be reached is passed over. A compartment that has as many connections
as it may have is full; where they are counted, nobody is sent anything until all have said
their count, a moment after they were asked.
"""

import socket
from collections import Counter
from collections.abc import Mapping
from math import inf

import msgspec

from compartments.connections.channel import Outbox
from compartments.facts.deployment import Deployment
from compartments.facts.entries import Entries

_decode_paths = msgspec.msgpack.Decoder(list[str]).decode
_decode_limit = msgspec.msgpack.Decoder(int).decode
_decode_deployment = msgspec.msgpack.Decoder(Deployment).decode


def _decode_owner(value: bytes) -> str:
    return _decode_deployment(value).compartment


class Peers:
    def __init__(self, own: str = "") -> None:
        """`own`: where this process takes connections itself; it sends none there. `has_own`: others send them."""
        self._own = own
        self.has_own = False
        self._entries = Entries(peers=_decode_paths, deploy=_decode_owner, limits=_decode_limit)
        self._by_compartment: dict[str, list[str]] = {}
        self._owners: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self._turns: Counter[str | None] = Counter()  # None: of what has no owner

    def follow(self, entries: Mapping[str, bytes]) -> None:
        if self._entries.follow(entries):
            peers: dict[str, list[str]] = self._entries.of("peers")
            self.has_own = any(self._own in paths for paths in peers.values())
            self._by_compartment = {
                name: [path for path in paths if path != self._own] for name, paths in peers.items()
            }
            self._owners = self._entries.of("deploy")
            self._limits = self._entries.of("limits")

    @property
    def paths(self) -> set[str]:
        return {path for paths in self._by_compartment.values() for path in paths}

    def sharers(self, compartment: str) -> int:
        """How many workers a compartment has, with this process if it is one of them."""
        return 1 + len(self._by_compartment.get(compartment, ()))

    def of(self, compartment: str) -> list[str]:
        """Inboxes of a compartment's workers."""
        return self._by_compartment.get(compartment, [])

    @property
    def is_alone(self) -> bool:
        """Nobody else takes connections."""
        return not any(self._by_compartment.values())

    def owner(self, service: str) -> str | None:
        return self._owners.get(service)

    def full(self, outbox: Outbox, compartment: str | None) -> bool:
        """Whether it has all the connections that it may have (None: whether every compartment has)."""
        if compartment is None:
            return bool(self._limits) and all(self.full(outbox, name) for name in self._by_compartment)
        return self._room(outbox, compartment) == 0

    def ask(self, outbox: Outbox) -> None:
        """Lets those whose count will matter say it, before it does."""
        for compartment in self._limits:
            self._room(outbox, compartment)

    def send(
        self,
        outbox: Outbox,
        compartment: str | None,
        connection: socket.socket,
        received: bytes,
        hops: int = 0,
        *,
        inside: bool = False,
    ) -> bool:
        """To a worker of the compartment (None: of any that has room); False when none takes it.

        `inside`: the connection belongs to the compartment already, however many there are.
        """
        names = self._by_compartment if compartment is None else (compartment,)
        paths = [path for name in names if inside or self._room(outbox, name) for path in self.of(name)]
        if not paths:
            return False
        turn = self._turns[compartment] = (self._turns[compartment] + 1) % len(paths)
        return any(outbox.send(path, connection, received, hops) for path in (*paths[turn:], *paths[:turn]))

    def _room(self, outbox: Outbox, compartment: str) -> float | None:
        """How many connections more it may have; None while its workers have not all said how many they have."""
        limit = self._limits.get(compartment)
        if limit is None:
            return inf
        counts = [outbox.count(path) for path in self.of(compartment)]
        known = [count for count in counts if count is not None]
        return None if len(known) < len(counts) else max(0, limit - sum(known))
