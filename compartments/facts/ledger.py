"""The supervisor's facts: numbered, and told to whoever follows.

Rule: pure. Every change is one bulletin with the next number; facts that do not change
make none.
"""

from collections.abc import Iterable, Mapping

from havok.messages import Bulletin, Heartbeat, State


class Ledger:
    def __init__(self, epoch: int) -> None:
        """`epoch` must be greater than that of any supervisor before."""
        self.epoch = epoch
        self.seq = 0
        self._entries: dict[str, bytes] = {}

    def change(self, entries: Mapping[str, bytes], drop: Iterable[str] = ()) -> Bulletin | None:
        """Sets and drops entries at once. None when nothing is different."""
        new = {key: value for key, value in entries.items() if self._entries.get(key) != value}
        gone = tuple(key for key in dict.fromkeys(drop) if key in self._entries and key not in entries)
        if not new and not gone:
            return None
        self.seq += 1
        self._entries.update(new)
        for key in gone:
            del self._entries[key]
        return Bulletin(self.epoch, self.seq, new, gone)

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self._entries if key.startswith(prefix)]

    def is_reached(self, epoch: int, seq: int) -> bool:
        """Whether who acted on this number has acted on everything."""
        return (epoch, seq) >= (self.epoch, self.seq)

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(self.epoch, self.seq)

    def state(self) -> State:
        return State(self.epoch, self.seq, dict(self._entries))
