"""What holds after every event, whatever the dice did.

Rule: looked at from outside: descriptors, facts as followers have them, signals. What real
code believes of itself is no evidence.
"""

import signal
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from compartments.facts.deployment import Deployment
from compartments.facts.ledger import Ledger
from compartments.facts.replica import Replica
from havok.messages import Bulletin
from tests.simulation.loop import Loop, Owner
from tests.simulation.processes import Kernel, Process
from tests.simulation.sockets import Line, Sockets
from tests.simulation.trace import Trace

MS = 1_000_000
READY_NS = 700 * MS  # after its start or its going on, a worker has said that it is ready
REPLACED_NS = 1_700 * MS  # one that hangs has a stand-in, and is ended
BACK_NS = 4_000 * MS  # a successor of one that died may be put off for as long
HANGS_NS = 1_300 * MS  # noticed as silent, and everybody told
Number = tuple[int, int]  # epoch, seq

_NOBODY = msgspec.msgpack.encode([])
_paths = msgspec.msgpack.Decoder(list[str]).decode
_deployment = msgspec.msgpack.Decoder(Deployment).decode


class History:
    """Every state of the facts that there ever was, and when followers had it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.states: dict[Number, dict[str, bytes]] = {}
        self.made_ns: dict[Number, int] = {}
        self.newest: Number = (0, 0)

    def note(self, ledger: Ledger) -> None:
        number = self.newest = (ledger.epoch, ledger.seq)
        self.states[number] = dict(ledger.state().entries)
        self.made_ns[number] = self._loop.now_ns


class RecordedLedger(Ledger):
    """The real one; `history` is set on the class of a run."""

    history: History

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.history.note(self)

    def change(self, entries: Mapping[str, bytes], drop: object = ()) -> Bulletin | None:
        bulletin = super().change(entries, drop)  # type: ignore[arg-type]
        if bulletin is not None:
            self.history.note(self)
        return bulletin


class Laws:
    def __init__(self, loop: Loop, trace: Trace, sockets: Sockets, kernel: Kernel, history: History) -> None:
        self._loop = loop
        self._trace = trace
        self._sockets = sockets
        self._kernel = kernel
        self._history = history
        self._seen: dict[Process, Number] = {}
        self._had: dict[Process, dict[str, bytes]] = {}
        self._listed: set[str] = set()  # inboxes that ever were peers
        self.services: set[str] = set()  # those that no configuration ever left out
        self.least: dict[str, int] = {}  # compartment → workers that it is to have, whatever happens
        self.lags_ns: list[int] = []  # from a change to each follower's acting on it
        self.checked: Counter[str] = Counter()
        self.well_since_ns: Callable[[], int] = lambda: loop.now_ns  # a supervisor is there and nothing is lost
        kernel.signalled = self.signalled
        sockets.sent = self.sent

    def check(self, owner: Owner) -> None:
        if self._sockets.changed:
            self._check_lines()
        if isinstance(owner, Process) and owner.body is not None and owner.kind != "supervisor":
            replica = owner.body._follower.replica
            if (replica.epoch, replica.seq) != self._seen.get(owner, (-1, -1)):
                self._check_facts(owner, replica)
        if self._trace.broken is not None:
            self._trace.fail(self._trace.broken)

    # -- connections -----------------------------------------------------------------

    def _check_lines(self) -> None:
        for line in self._sockets.changed:
            self.checked["lines"] += 1
            if line.owners > 1:
                self._trace.fail(f"{line.name} has {line.owners} owners: {line.where}")
        self._sockets.changed.clear()

    def sent(self, line: Line, receiver: Owner) -> None:
        """Not to one that hangs, once that can be known."""
        sender = self._loop.current
        assert isinstance(sender, Process)
        assert isinstance(receiver, Process)
        if self._hangs(receiver) and self._loop.now_ns - max(sender.resumed_ns, self.well_since_ns()) > HANGS_NS:
            self._trace.fail(f"{line.name} is sent to {receiver.name}, which hangs")

    # -- facts -----------------------------------------------------------------------

    def _check_facts(self, process: Process, replica: Replica) -> None:
        number, before = (replica.epoch, replica.seq), self._seen.get(process, (-1, -1))
        self.checked["facts"] += 1
        self._trace.say(process.name, "acts on {}.{}", *number)
        if number < before:
            self._trace.fail(f"{process.name} went back from {before} to {number}")
        state = self._history.states.get(number)
        if state is None:
            self._trace.fail(f"{process.name} acts on {number}, which there never was")
        if replica.entries != state:
            self._trace.fail(f"{process.name} acts on a part of {number}: {_different(replica.entries, state or {})}")
        if number[0] != before[0] and before != (-1, -1):
            self._check_successor(process, number, self._had[process], replica.entries)
        self._check_peers(process, number, replica.entries)
        for passed in range(before[1] + 1 if before[0] == number[0] else number[1], number[1] + 1):
            self.lags_ns.append(self._loop.now_ns - self._history.made_ns[number[0], passed])
        self._seen[process] = number
        self._had[process] = dict(replica.entries)

    def _check_peers(self, process: Process, number: Number, entries: Mapping[str, bytes]) -> None:
        """No compartment is without peers while a worker of it serves."""
        for compartment in self.least:
            self._listed.update(_paths(entries.get(f"peers/{compartment}", _NOBODY)))
        for compartment in self.least:
            if f"peers/{compartment}" in entries and not _paths(entries[f"peers/{compartment}"]):
                serving = [
                    found.name
                    for found in self._kernel.living("worker")
                    if found.compartment == compartment and not found.told_to_end and not found.stopped
                    if found.body is not None and found.resumed_ns < self._history.made_ns[number] - READY_NS
                    if found.inbox in self._listed  # else no supervisor lived to hear that it is ready
                ]
                if serving:
                    self._trace.fail(f"{process.name} at {number}: {compartment} has no peers, and {serving} serve")

    def _check_successor(
        self, process: Process, number: Number, before: Mapping[str, bytes], after: Mapping[str, bytes]
    ) -> None:
        """The first facts of another supervisor: nothing that still holds may be missing."""
        for service in self.services:
            if f"deploy/{service}" in before and f"deploy/{service}" not in after:
                self._trace.fail(f"{process.name} at {number}: {service} vanished with a new supervisor")
        by_inbox = {found.inbox: found for found in self._kernel.living("worker")}
        for key, value in before.items():
            if key.startswith("peers/") and key.removeprefix("peers/") in self.least:
                listed = set(_paths(after[key])) if key in after else set()
                for path in _paths(value):
                    found = by_inbox.get(path)
                    if found is None or found.told_to_end or found.stopped or path in listed:
                        continue
                    if found.resumed_ns < self._history.made_ns[number]:  # it did not hang when they were made
                        self._trace.fail(f"{process.name} at {number}: {found.name} is no peer any more, and lives")

    # -- processes -------------------------------------------------------------------

    def signalled(self, process: Process, number: int) -> None:
        """A worker may be told to end only if enough others of its compartment stay."""
        own = self._loop.current is not self._loop.outside and not process.told_to_end and process.body is not None
        if number == signal.SIGKILL and process.stopped and own:
            hangs_ns = self._loop.now_ns - max(process.stopped_ns, self.well_since_ns())
            if process.stopped_ns - process.resumed_ns > READY_NS and hangs_ns > REPLACED_NS:
                self._trace.fail(f"{process.name} hung for {hangs_ns / MS:.0f} ms before it was replaced")
        if number != signal.SIGTERM or process.kind != "worker" or process.told_to_end:
            return
        staying = [
            other
            for other in self._kernel.processes.values()
            if other.kind == "worker" and other.compartment == process.compartment and other is not process
            if not other.told_to_end and not other.end_told  # who told him may not know of an end yet
        ]
        self.checked["retirements"] += 1
        died = sum(
            other.killed and other.compartment == process.compartment and other.ended_ns > self._loop.now_ns - BACK_NS
            for other in self._kernel.processes.values()
        )
        if len(staying) < max(1, self.least[process.compartment] - died):
            names = [other.name for other in staying]
            self._trace.fail(f"{process.name} is told to end, and only {names} stay in {process.compartment}")
        serves = process in self._seen and not process.stopped
        if serves and not any(other in self._seen and not self._hangs(other) for other in staying):
            self._trace.fail(f"{process.name} serves and is told to end; of those that stay nobody does")

    def _hangs(self, process: Process) -> bool:
        """For so long that a supervisor may have noticed."""
        return process.stopped and self._loop.now_ns - process.stopped_ns > HANGS_NS


def _different(found: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    return sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
