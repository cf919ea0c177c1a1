"""The processes of a node: how many there are of which, started, renewed, ended.

Rule: one `Member` per process, from its start (or its adoption) to its end; each is watched
by one task that the fleet owns. What is to be replaced serves until its successor does. It
does not know what a process serves.
"""

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec

from compartments.machine.isolation import Isolation
from compartments.processes.launcher import GATE, Launcher, Site
from compartments.processes.listeners import lending_path
from compartments.processes.member import Member, Patience
from compartments.processes.restarts import GATE_S, LONGEST_S, Restarts, after_death
from compartments.processes.roster import Roster, write_roster
from compartments.processes.seating import Seating
from compartments.processes.staffing import surplus
from havok.errors import NodeError
from havok.messages import Report
from havok.settings import CompartmentSettings, Settings

log = logging.getLogger(__name__)


class Fleet:
    """`on_change()`: a process came, went or fell silent; `on_death(compartment, lived_s)`: one ended untold."""

    def __init__(
        self,
        site: Site,
        launcher: Launcher,
        patience: Patience,
        on_change: Callable[[], None],
        on_death: Callable[[str, float], None],
        isolation: Isolation,
    ) -> None:
        self.site = site
        self._launcher = launcher
        self.seating = Seating(isolation, self._own)
        self._patience = patience
        self._on_change = on_change
        self._on_death = on_death
        self._compartments: dict[str, CompartmentSettings] = {}
        self._wanted: dict[str, int] = {}  # workers of each compartment, between its min and max
        self._restarts: dict[str, Restarts] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self.renewal_fault: str | None = None  # why the last process that was to be replaced was not
        self.processes: dict[str, Member] = {}

    # -- what there is ---------------------------------------------------------------

    def workers(self, compartment: str | None = None) -> list[Member]:
        """Living workers that are not on their way out."""
        staying = (process for process in self.processes.values() if not process.draining)
        return [p for p in staying if p.compartment != GATE and compartment in (None, p.compartment)]

    def gates(self) -> list[Member]:
        return [process for process in self.processes.values() if process.compartment == GATE]

    def lasting(self, compartment: str) -> list[Member]:
        """Those that count: spares come on top, for a while."""
        if compartment == GATE:
            return [gate for gate in self.gates() if not gate.draining and not gate.is_spare]
        return [process for process in self.workers(compartment) if not process.is_spare]

    def outdated(self) -> list[Member]:
        """Those that run other code than is installed, or hold other ports than they should; gates last."""
        right = self._launcher.addresses
        every = self.processes.values()
        old = [p for p in every if (p.code, p.addresses) != (self.site.code, right(p.compartment))]
        return sorted(old, key=lambda process: process.compartment == GATE)

    def hear(self, report: Report) -> bool:
        """False when it is nobody's that is watched over here."""
        process = self.processes.get(report.process)
        if process is None or process.pid != report.pid:
            return False
        if process.hear(report):
            self._record()
            self.seating.seat(process)
        if report.draining and not process.draining:  # told to by somebody else
            self._let_go(process)
            self._fill()
        return True

    def excuse(self, late_s: float) -> None:
        """We did not listen for as long ourselves: nobody was silent then."""
        for process in self.processes.values():
            process.heard_s = min(monotonic(), process.heard_s + late_s)

    async def until_serving(self, timeout_s: float) -> bool:
        """True when the gate accepts and every worker is ready."""
        deadline = monotonic() + timeout_s
        while monotonic() < deadline and not self._ending:
            processes = [*self.workers(), *self.gates()]
            if processes and all(process.was_ready for process in processes):
                return True
            await asyncio.sleep(0.01)
        return False

    # -- changing it -----------------------------------------------------------------

    def adopt(self, left: Roster) -> int:
        """Watches over processes that another supervisor left; how many. Their names and numbers are taken."""
        for entry in left.processes:
            self._launcher.known(entry.name)
            process = Member(entry.name, entry.compartment, entry.code, self._patience, entry.inbox)
            try:
                process.adopt(entry)
            except OSError as error:
                log.warning("%s (pid %d) is not adopted: %s", entry.name, entry.pid, error)
                continue
            self.processes[process.name] = process
            self._own(self._watch(process))
        self._record()
        return len(self.processes)

    def resize(self, compartments: dict[str, CompartmentSettings]) -> None:
        """As many workers as each compartment asks for, pinned and limited as it says."""
        for name, settings in compartments.items():
            before, count = self._compartments.get(name), settings.workers
            if before is None:  # what was adopted had grown to it
                self._wanted[name] = max(count.min, min(len(self.lasting(name)), count.max))
            elif before.workers != count:
                self._wanted[name] = count.min
        self._wanted = {name: count for name, count in self._wanted.items() if name in compartments}
        self._compartments = compartments
        self._fill()
        for process in self.workers():
            if process.compartment not in compartments:
                self.retire(process)

    def wanted(self, compartment: str) -> int:
        """How many workers it is to have now."""
        return self._wanted.get(compartment, 0)

    def want(self, compartment: str, count: int, without: Member | None = None) -> None:
        """One more or less; `without`: the worker that is not wanted any more."""
        self._wanted[compartment] = count
        if without is not None:
            self.retire(without)
        self._fill()

    def _fill(self) -> None:
        """Starts who is missing, quietly beside others, retires who is too many, and gives each its place."""
        self.seating.place(self._compartments, self._wanted)
        if not self.lasting(GATE):
            self._start_one(GATE, quiet=False)
        for name, count in self._wanted.items():
            workers = self.lasting(name)
            serves = any(process.was_ready for process in workers)
            for _ in range(count - len(workers)):
                self._start_one(name, quiet=serves)
        self._trim()
        for process in self.workers():
            self.seating.seat(process)

    def _trim(self) -> None:
        """Retires who is too many: of those that were adopted, once they have said how they are."""
        wanted = {**self._wanted, GATE: 1}
        if len(self.processes) > sum(wanted.values()):
            for name, count in wanted.items():
                for process in surplus([p for p in self.lasting(name) if p.lives], count):
                    self.retire(process)

    def heed(self, settings: Settings) -> None:
        """What processes are told that are started from now on."""
        self._launcher.node = settings.node
        own = ((name, compartment.listen) for name, compartment in settings.compartments.items())
        self._launcher.own = {name: address for name, address in own if address is not None}

    def retire(self, process: Member) -> None:
        """No new connections; it drains and ends."""
        if not process.draining:
            self._let_go(process)
            process.signal(signal.SIGTERM)

    def _let_go(self, process: Member) -> None:
        process.draining = True
        self._on_change()
        self._own(self._insist(process))

    async def renew(self, process: Member) -> None:
        """Its successor first; when that serves, the process drains and ends.

        Raises NodeError when the successor does not get so far; the process then serves on.
        """
        successor = await self._spare_of(process)
        successor.is_spare = False
        self.retire(process)
        await process.ended.wait()
        self._fill()  # one of them may have died meanwhile

    async def _spare_of(self, process: Member) -> Member:
        """A process of the same kind, ready. Raises NodeError."""
        spare = self._start_one(process.compartment, quiet=not process.silent)
        spare.is_spare = True
        why = None
        if not await spare.until_ready(self._patience.start_s):
            why = "did not become ready; its log says why"
        elif process.lives:  # else the spare is all there is
            why = process.would_lose_by(spare)
        self.renewal_fault = None
        if why is not None:
            self.retire(spare)
            self.renewal_fault = f"{process.name} stays: {spare.name}, which was to replace it, {why}"
            raise NodeError(self.renewal_fault)
        return spare

    async def end(self) -> None:
        """Gate first, so that nothing new arrives; then the workers finish what they have."""
        self._ending = True
        for group in (self.gates(), [p for p in self.processes.values() if p.compartment != GATE]):
            for process in group:
                process.draining = True
            self._on_change()  # they learn that no sibling stays
            for process in group:
                process.signal(signal.SIGTERM)
            waits = [asyncio.ensure_future(process.ended.wait()) for process in group]
            if waits:
                _, late = await asyncio.wait(waits, timeout=self._launcher.node.drain_s + self._patience.kill_after_s)
                for process in group:
                    process.signal(signal.SIGKILL)
                if late:
                    await asyncio.wait(late)
        await self._let_tasks_go()
        self.seating.isolation.close()
        self._record()

    async def leave(self) -> None:
        """Watches over them no more; they serve on, and are on record for who comes next."""
        self._ending = True
        await self._let_tasks_go()
        self._record()

    async def _let_tasks_go(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check_hung(self) -> None:
        """Who is silent gets a stand-in, and is ended when that is ready; who is silent for too long is ended."""
        for process in list(self.processes.values()):
            if process.hung:
                log.error("%s (pid %d) was silent for too long; it is replaced", process.name, process.pid)
                process.signal(signal.SIGKILL)
            elif process.was_ready and process.silent and not process.draining and not process.is_replaced:
                process.is_replaced = True
                self._own(self._stand_in(process))
        self._trim()

    async def _stand_in(self, process: Member) -> None:
        log.warning("%s (pid %d) is silent; another one is started", process.name, process.pid)
        try:
            spare = await self._spare_of(process)
        except NodeError as error:
            log.error("%s", error.detail)
            await asyncio.sleep(self._patience.silent_s)  # not at once again
        else:
            spare.is_spare = False
            if process.silent and not process.ended.is_set():
                log.error("%s (pid %d) stays silent; %s takes its place", process.name, process.pid, spare.name)
                process.draining = True
                self._on_change()
                process.signal(signal.SIGKILL)
            self._fill()  # it speaks again: one of them is too many
        process.is_replaced = False

    # -- one process -----------------------------------------------------------------

    def _start_one(self, compartment: str, *, quiet: bool) -> Member:
        """`quiet`: somebody else serves already, and must not feel the start."""
        if compartment == GATE:
            process, module, settings = self._launcher.gate()
        else:
            process, module, settings = self._launcher.worker(compartment, self._compartments[compartment].fds)
        process.is_quiet = quiet
        if quiet:
            self.seating.isolation.prime()
        return self._start(process, module, settings)

    def _start(self, process: Member, module: str, settings: msgspec.Struct) -> Member:
        if self._ending:
            return process
        self.processes[process.name] = process
        try:
            self._launcher.start(process, module, settings)
        except OSError as error:
            log.error("%s cannot be started: %s", process.name, error.strerror)
            process.ended.set()
        else:
            self._record()  # first of all: who is not on record is nobody's when we are killed
            self.seating.seat(process)
        self._own(self._watch(process))
        return process

    async def _watch(self, process: Member) -> None:
        """Until its end; then a successor, when it was not told to end."""
        code = await process.wait()
        self._forget(process)
        try:
            self._on_change()
            if process.pid and not process.draining and not self._ending:
                self._on_death(process.compartment, monotonic() - process.started_s)
        except Exception:  # a successor comes whatever that was
            log.exception("the end of %s was not followed up", process.name)
        if not process.draining and not process.is_spare and not self._ending:
            await self._restart(process, code)

    def _forget(self, process: Member) -> None:
        del self.processes[process.name]
        self.seating.isolation.forget(process.name)
        for path in (process.inbox, lending_path(process.inbox)):
            with contextlib.suppress(OSError):
                Path(path).unlink()
        self._record()

    async def _restart(self, process: Member, code: int | None) -> None:
        lived_s = monotonic() - process.started_s
        record = self._restarts.get(process.compartment, Restarts())
        longest_s = GATE_S if process.compartment == GATE else LONGEST_S
        self._restarts[process.compartment], wait_s = after_death(record, lived_s, random.random(), longest_s)
        why = "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        log.warning("%s (pid %d) %s; a new one starts in %.1f s", process.name, process.pid, why, wait_s)
        await asyncio.sleep(wait_s)
        self._fill()  # unless a change of settings in the meantime has started one

    async def _insist(self, process: Member) -> None:
        await asyncio.sleep(self._launcher.node.drain_s + self._patience.kill_after_s)
        process.signal(signal.SIGKILL)

    def _own(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self) -> None:
        entries = [process.entry for process in self.processes.values() if process.pid and not process.ended.is_set()]
        write_roster(self.site.data_dir, entries)
