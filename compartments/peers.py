"""Which workers take connections, by compartment and by service.

Rule: turns are taken (round robin) among the workers the supervisor lists, in each compartment
by itself; one that cannot be reached is passed over.
"""

import socket
from collections import Counter
from collections.abc import Mapping

import msgspec

from compartments.channel import Outbox
from compartments.deployment import Deployment
from compartments.entries import Entries

_decode_paths = msgspec.msgpack.Decoder(list[str]).decode
_decode_deployment = msgspec.msgpack.Decoder(Deployment).decode


def _decode_owner(value: bytes) -> str:
    return _decode_deployment(value).compartment


class Peers:
    def __init__(self) -> None:
        self._entries = Entries(peers=_decode_paths, deploy=_decode_owner)
        self._by_compartment: dict[str, list[str]] = {}
        self._owners: dict[str, str] = {}
        self._turns: Counter[str | None] = Counter()  # None: of what has no owner

    def follow(self, entries: Mapping[str, bytes]) -> None:
        if self._entries.follow(entries):
            self._by_compartment, self._owners = self._entries.of("peers"), self._entries.of("deploy")

    @property
    def paths(self) -> set[str]:
        return {path for paths in self._by_compartment.values() for path in paths}

    def owner(self, service: str) -> str | None:
        return self._owners.get(service)

    def send(self, outbox: Outbox, compartment: str | None, connection: socket.socket, received: bytes) -> bool:
        """To a worker of the compartment (None: of any); False when none takes it."""
        if compartment is None:
            paths = [path for paths in self._by_compartment.values() for path in paths]
        else:
            paths = self._by_compartment.get(compartment, [])
        if not paths:
            return False
        turn = self._turns[compartment] = (self._turns[compartment] + 1) % len(paths)
        return any(outbox.send(path, connection, received) for path in (*paths[turn:], *paths[:turn]))
