"""A follower's copy of the ledger.

Rule: pure. Changes apply in order and without holes, or not at all: a hole, a late start
or a new supervisor asks for the whole state, and until it comes nothing newer applies.
Each `receive` says whether the facts changed; `resync_due` says whether to ask.
"""

from havok.messages import Bulletin, Heartbeat, State

RESYNC_EVERY_NS = 50_000_000  # a question or its answer may be lost as well


class Replica:
    """`(epoch, seq)` of the facts, and the newest that was heard of."""

    def __init__(self) -> None:
        self.epoch = -1
        self.seq = -1
        self.entries: dict[str, bytes] = {}
        self._newest = (-1, 0)  # nothing was received yet: behind
        self._asked_ns: int | None = None

    def receive(self, message: Bulletin | Heartbeat | State) -> bool:
        """True when entries changed."""
        if message.epoch < self.epoch:
            return False  # a supervisor that was replaced
        self._newest = max(self._newest, (message.epoch, message.seq))
        if isinstance(message, State):
            return self._replace(message)
        if isinstance(message, Heartbeat) or (message.epoch, message.seq) != (self.epoch, self.seq + 1):
            return False  # received before, or a hole that `_newest` shows
        self.seq = message.seq
        self.entries.update(message.set)
        for key in message.drop:
            self.entries.pop(key, None)
        return True

    def _replace(self, state: State) -> bool:
        self._asked_ns = None  # an answer to an old question may leave reason for a new one
        if (state.epoch, state.seq) <= (self.epoch, self.seq):
            return False
        self.epoch, self.seq = state.epoch, state.seq
        self.entries = dict(state.entries)
        return True

    @property
    def synced(self) -> bool:
        return (self.epoch, self.seq) >= self._newest

    def resync_due(self, now_ns: int) -> bool:
        """True when a Resync should be sent now; counts it as sent."""
        if self.synced or (self._asked_ns is not None and now_ns - self._asked_ns < RESYNC_EVERY_NS):
            return False
        self._asked_ns = now_ns
        return True
