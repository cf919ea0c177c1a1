"""What a node does about compartments over their high mark, and about workers nobody needs.

Rule: pure. `plan_moves(node, memory, now)` → (moves, memory); all that is remembered is in
`Memory`. Moves of one tick are bounded by MOVES_MAX, compartments of high priority first,
then those that have waited longest. Loads and levels are `compartments.load.watermarks`'.

**The ladder** of a compartment over its high mark, one rung after another:

a. Connections go from hot workers to cool ones (`compartments.load.spread`; also below the high
   mark, where a worker is hot), all at once when several workers were added. The next rung
   is climbed when that had EFFECT to help.
b. Workers are added within `max` while the node has free slots. As many as

       need = ceil(load · workers / aim)        aim = (low + high) / 2

   (the formula of Kubernetes' horizontal autoscaler), at least one: busy stops at 1, so what
   is needed beyond that shows only when they are there. At most STARTS_MAX(slots) a second.
c. Without a free slot it calls back one that it lent; else it borrows one of a compartment of
   the same or a lower priority, lowest first, that is calm, above its `min`, and would not
   come over its own aim.
d. Else Pressure: the degradation ladder takes over, until the load was not high for RELIEF.

Nothing else is added before the last addition is ready and was SETTLE long in the load; one
that does not get ready within PATIENCE is Pressure too.

**Giving up.** A compartment that was calm for SHRINK, with none of its workers changed, gives
up its coolest, if those that stay are not over their aim, which is half the distance of the
marks below the high one: a steady load does not ask for it back. A slot that was borrowed
goes back with it. A lender who is high itself gets its slot back at once if the borrower is
of its own priority; from a higher one only if that is not high and would not become so: low
priority pays before high.

A worker on its way out holds no slot: those that were calm are nearly empty, and waiting for
the last of their requests would make the one who waits pay. Σ wanted never grows beyond `slots`.
"""

from math import ceil

import msgspec

from compartments.load.condition import aim, coolest, load_without_one, look, ready_workers, rest_ns, shares
from compartments.load.moves import (
    AddWorker,
    Compartment,
    Known,
    Loan,
    Memory,
    Move,
    MoveConnections,
    Node,
    Pressure,
    Relief,
    RemoveWorker,
)
from compartments.load.spread import spread
from compartments.load.watermarks import HYSTERESIS, Standing
from havok.settings import Priority

RANK: dict[Priority, int] = {"high": 0, "medium": 1, "low": 2}
MOVES_MAX = 32  # a tick: each is a message or a process and a line of the audit log; 320 a second
MOVES_ONE = 3  # with less room than that, the rest waits: two for a slot that changes hands, one for a pressure's end
EFFECT_NS = 1_000_000_000  # connections are handed over, reported and smoothed by then
SETTLE_NS = 2_000_000_000  # five times the smoothing
EVEN_NS = 300_000_000  # connections move when uneven for as long: three samples
PATIENCE_NS = 10_000_000_000  # a worker is ready within 1 s; restarts after deaths wait up to 10 s
SHRINK_NS = 60_000_000_000  # a worker costs memory only; to start it again costs a third of a second of a core
LEND_NS = 30_000_000_000  # who just grew is calm because of that
RELIEF_NS = 5_000_000_000
SECOND_NS = 1_000_000_000


def starts_max(slots: int) -> int:
    """Workers added within a second: each takes a third of a core's second to start, beside those that serve."""
    return max(2, slots // 4)


def plan_moves(node: Node, memory: Memory, now_ns: int) -> tuple[list[Move], Memory]:
    """To be performed in their order before the next call, which is to see them in `wanted`."""
    plan = _Plan(node, memory, now_ns)
    for name in sorted(plan.due, key=plan.precedence):
        if plan.room < MOVES_ONE:
            break
        plan.consider(name)
    return plan.moves, Memory(plan.known, tuple(plan.loans), tuple(plan.starts_ns))


class _Plan:
    """The work of one call: a copy of what is known, changed with every move."""

    def __init__(self, node: Node, memory: Memory, now_ns: int) -> None:
        self._now = now_ns
        self._node = node
        self._found = {compartment.name: compartment for compartment in node.compartments}
        self.moves: list[Move] = []
        self.starts_ns = [at for at in memory.starts_ns if now_ns - at < SECOND_NS]
        self.known = {item.name: look(item, memory.known.get(item.name), now_ns) for item in node.compartments}
        self._free = node.slots - sum(known.wanted for known in self.known.values())
        self.loans = self._valid(memory.loans)
        self._lenders: list[str] | None = None
        self._leaving: dict[str, list[str | None]] = {}  # by compartment
        self.due = [name for name, known in self.known.items() if self._is_due(known, self._found[name])]

    @property
    def room(self) -> int:
        """How many moves more there may be."""
        return MOVES_MAX - len(self.moves)

    def precedence(self, name: str) -> tuple[int, bool, int, str]:
        standing = self.known[name].standing
        high = standing is not None and standing.level == "high"
        return RANK[self._found[name].priority], not high, standing.since_ns if standing else 0, name

    def _is_due(self, known: Known, item: Compartment) -> bool:
        """Whether there is anything to consider; for most there is not."""
        standing = known.standing
        return (
            known.uneven_ns is not None
            or known.pressed_ns is not None
            or known.wanted > item.max
            or (
                standing is not None
                and (standing.level == "high" or (standing.level == "calm" and known.wanted > item.min))
            )
        )

    def _valid(self, loans: tuple[Loan, ...]) -> list[Loan]:
        """Without those whose borrower has no worker above its min any more: it ended, or the settings changed."""
        spare = {name: known.wanted - self._found[name].min for name, known in self.known.items()}
        kept = []
        for loan in loans:
            if loan.lender in self._found and spare.get(loan.borrower, 0) > 0:
                spare[loan.borrower] -= 1
                kept.append(loan)
        return kept

    # -- one compartment -------------------------------------------------------------

    def consider(self, name: str) -> None:
        item, known = self._found[name], self.known[name]
        if name in self._leaving:
            return  # it just gave up a worker; the next tick sees to it
        if known.wanted > item.max:
            self._remove(name, f"{name} has {known.wanted} workers and may have {item.max}.")
            return
        standing = known.standing
        if standing is None:
            return
        waits = self._spread(item, known, standing)
        if standing.level == "high" and not waits:
            self._climb(item, standing)
        elif standing.level == "calm" and known.wanted > item.min:
            self._shrink(item, standing)
        self._relieve(name, standing)

    def _spread(self, item: Compartment, known: Known, standing: Standing) -> bool:
        """Rung a. Whether to wait for what it does before another is climbed."""
        now = self._now
        if known.uneven_ns is None:
            return known.moved_ns is not None and now - known.moved_ns < EFFECT_NS
        if known.moved_ns is not None and now - known.moved_ns < rest_ns(known.spreads):
            return now - known.moved_ns < EFFECT_NS
        starting = known.grown_ns is not None and ready_workers(item) < item.wanted and now - known.grown_ns < SETTLE_NS
        if starting or now - known.uneven_ns < EVEN_NS:
            return True
        for shift in spread(shares(item, known.loads), item.marks)[: self.room - MOVES_ONE + 1]:
            source, target = shift.source, shift.target
            reason = (
                f"{source.worker} is at {_percent(source.load)} and the mean of {item.name} at {_percent(shift.mean)}: "
                f"{shift.count} of its {source.connections} connections go to {target.worker}, "
                f"which is at {_percent(target.load)}."
            )
            self._move(MoveConnections(item.name, source.worker, target.worker, shift.count, reason))
        self._know(item.name, moved_ns=now, spreads=known.spreads + 1, uneven_ns=None)
        return True

    def _climb(self, item: Compartment, standing: Standing) -> None:
        """Rungs b to d."""
        name, known, now = item.name, self.known[item.name], self._now
        over = f"{name} is at {_percent(standing.load)}, over its high mark of {_percent(item.marks.high)}"
        if now - known.unsettled_ns < SETTLE_NS:
            settled_ns = max(standing.since_ns, known.grown_ns or 0)
            if ready_workers(item) < item.wanted and now - settled_ns >= PATIENCE_NS:
                seconds = PATIENCE_NS // SECOND_NS
                self._press(name, f"{over}, and a worker of it has not been ready for {seconds} s.")
            return
        need = max(known.wanted + 1, ceil(standing.load * ready_workers(item) / aim(item)))
        if known.wanted >= item.max:
            self._press(name, f"{over}, with all of its {_workers(item.max)}.")
            return
        for _ in range(min(need, item.max) - known.wanted):
            if len(self.starts_ns) >= starts_max(self._node.slots) or self.room < MOVES_ONE:
                return  # the next tick goes on
            if self._free > 0:
                free = f"{self._free} of the node's {self._node.slots} slots are free"
                self._add(name, f"{over}; {free}, so it gets a worker more: {self.known[name].wanted + 1} in all.")
            elif not (self._call_back(name, over) or self._borrow(name, over)):
                if self.known[name].wanted == known.wanted:
                    why = f"none of the node's {self._node.slots} slots is free and nobody below may lend one"
                    self._press(name, f"{over}; {why}.")
                return

    def _call_back(self, name: str, over: str) -> bool:
        """Rung c: a slot that was lent."""
        for loan in self.loans:
            if loan.lender == name and self._can_return(name, loan.borrower):
                reason = f"{over}, and needs the slot that it lent to {loan.borrower}."
                self._remove(loan.borrower, reason, loan)
                self._add(name, f"{over}; the slot that it lent to {loan.borrower} is back.")
                return True
        return False

    def _can_return(self, lender: str, borrower: str) -> bool:
        item, known = self._found[borrower], self.known[borrower]
        if known.moved_ns == self._now:
            return False  # perhaps to the very worker that would go
        if RANK[self._found[lender].priority] <= RANK[item.priority]:
            return True
        standing = known.standing
        slack = HYSTERESIS * (item.marks.high - item.marks.low)
        return (
            standing is not None
            and standing.level != "high"
            and load_without_one(item, standing) < item.marks.high - slack
        )

    def _borrow(self, name: str, over: str) -> bool:
        """Rung c: a slot of somebody calm."""
        if self._lenders is None:
            able = [other for other in self.known if self._can_lend(other)]
            self._lenders = sorted(
                able, key=lambda other: (RANK[self._found[other].priority], -self._load(other), other)
            )
        rank = RANK[self._found[name].priority]
        while self._lenders and not self._can_lend(self._lenders[-1]):
            self._lenders.pop()  # it gave up one within this tick
        if not self._lenders or RANK[self._found[self._lenders[-1]].priority] < rank:
            return False
        lender = self._lenders.pop()  # the lowest priority, and of those the least load
        mark = f"under its low mark of {_percent(self._found[lender].marks.low)}"
        had = next((loan for loan in self.loans if loan.borrower == lender), None)
        owner = lender
        if had is not None:  # it lends on what it borrowed
            owner = had.lender
            self.loans.remove(had)
        self._remove(lender, f"{lender} is at {_percent(self._load(lender))}, {mark}; its slot goes to {name}.")
        if owner != name:
            self.loans.append(Loan(owner, name, self._now))
        self._add(name, f"{over}; it gets a slot of {lender}, which is {mark}.", lender)
        return True

    def _can_lend(self, name: str) -> bool:
        item, known, standing = self._found[name], self.known[name], self.known[name].standing
        return (
            standing is not None
            and standing.level == "calm"
            and item.min < known.wanted <= item.max
            and known.moved_ns != self._now
            and self._now - known.unsettled_ns >= SETTLE_NS
            and (known.grown_ns is None or self._now - known.grown_ns >= LEND_NS)
            and load_without_one(item, standing) <= aim(item)
        )

    def _shrink(self, item: Compartment, standing: Standing) -> None:
        known, now = self.known[item.name], self._now
        if now - max(standing.since_ns, known.unsettled_ns) < SHRINK_NS or load_without_one(item, standing) > aim(item):
            return
        loan = next((loan for loan in self.loans if loan.borrower == item.name), None)
        back = "" if loan is None else f"; the slot goes back to {loan.lender}"
        mark = f"under its low mark of {_percent(item.marks.low)}"
        seconds = (now - standing.since_ns) // SECOND_NS
        reason = (
            f"{item.name} is at {_percent(standing.load)}, {mark} for {seconds} s: {_workers(known.wanted - 1)} will do"
        )
        self._remove(item.name, f"{reason}{back}.", loan)

    # -- moves -----------------------------------------------------------------------

    def _move(self, move: Move) -> None:
        self.moves.append(move)

    def _know(self, name: str, **changes: object) -> None:
        self.known[name] = msgspec.structs.replace(self.known[name], **changes)

    def _add(self, name: str, reason: str, lender: str | None = None) -> None:
        self._move(AddWorker(name, reason, lender))
        self._free -= 1
        self.starts_ns.append(self._now)
        wanted = self.known[name].wanted + 1
        self._know(name, wanted=wanted, unsettled_ns=self._now, grown_ns=self._now, spreads=0, moved_ns=None)

    def _remove(self, name: str, reason: str, loan: Loan | None = None) -> None:
        item, known = self._found[name], self.known[name]
        lender = None
        if loan is not None:
            lender = loan.lender
            self.loans.remove(loan)
        leaving = self._leaving.setdefault(name, [])
        worker = coolest(item, known, leaving)
        leaving.append(worker)
        self._move(RemoveWorker(name, worker, reason, lender))
        self._free += 1
        self._know(name, wanted=known.wanted - 1, unsettled_ns=self._now, spreads=0, moved_ns=None)

    def _press(self, name: str, reason: str) -> None:
        if self.known[name].pressed_ns is None:
            self._move(Pressure(name, reason))
            self._know(name, pressed_ns=self._now)

    def _relieve(self, name: str, standing: Standing) -> None:
        known = self.known[name]
        if known.pressed_ns is None or standing.level == "high" or self._now - standing.since_ns < RELIEF_NS:
            return
        high = _percent(self._found[name].marks.high)
        self._move(Relief(name, f"{name} is at {_percent(standing.load)}, no longer over its high mark of {high}."))
        self._know(name, pressed_ns=None)

    def _load(self, name: str) -> float:
        standing = self.known[name].standing
        return standing.load if standing is not None else 0.0


def _workers(count: int) -> str:
    return "one worker" if count == 1 else f"{count} workers"


def _percent(load: float) -> str:
    return f"{load * 100:.0f} %"
