"""What the supervisor tells all processes of its own: who takes connections, and who is under pressure.

Rule: one bulletin when something is different, none otherwise.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from compartments.facts.deployment import peers_key, pressure_key
from compartments.facts.ledger import Ledger
from compartments.processes.member import Member
from havok.messages import Bulletin

_encode = msgspec.msgpack.encode


class Announcer:
    """`publish(bulletin)` sends it; `compartments()` are those there are, with or without workers."""

    def __init__(
        self, ledger: Ledger, publish: Callable[[Bulletin], None], compartments: Callable[[], Iterable[str]]
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._compartments = compartments

    def tell_peers(self, workers: Iterable[Member]) -> None:
        """Workers that serve and are heard of."""
        peers: dict[str, list[str]] = {name: [] for name in self._compartments()}
        for process in workers:
            if process.was_ready and not process.silent:
                peers.setdefault(process.compartment, []).append(process.inbox)
        self._tell("peers/", {peers_key(name): _encode(paths) for name, paths in peers.items()})

    def tell_pressure(self, pressed: Mapping[str, str]) -> None:
        """Compartment → why it is to degrade."""
        self._tell("pressure/", {pressure_key(name): _encode(reason) for name, reason in pressed.items()})

    def _tell(self, prefix: str, entries: dict[str, bytes]) -> None:
        gone = (key for key in self._ledger.keys(prefix) if key not in entries)
        bulletin = self._ledger.change(entries, gone)
        if bulletin is not None:
            self._publish(bulletin)
