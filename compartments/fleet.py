"""The processes of a node: started, pinned, restarted, ended.

Rule: one record per process, from its start to its end; each is watched by one task that
the fleet owns. It does not know what a process serves.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated

import msgspec
import psutil

from compartments.limits import limit, rank_session
from compartments.process import GateSettings, WorkerSettings
from compartments.restarts import Restarts, after_death
from havok.layout import run_dir
from havok.messages import Report
from havok.settings import CompartmentSettings

log = logging.getLogger(__name__)

GATE = "gate"  # stands where a compartment's name would


class Patience(msgspec.Struct, frozen=True):
    """How long a process may leave us waiting, in seconds."""

    silent_s: float = 1.0  # without a report for as long, a worker gets no new connections
    hung_s: float = 10.0  # and after as long it is ended and replaced
    start_s: float = 60.0  # the same before it was ready: reading a program from a slow disk takes long
    kill_after_s: float = 5.0  # on top of the drain, before SIGKILL


class Process:
    """A child: its settings, how it is, and what it last said."""

    def __init__(self, name: str, compartment: str, patience: Patience, inbox: str = "") -> None:
        self._patience = patience
        self.name = name
        self.compartment = compartment
        self.inbox = inbox
        self.child: asyncio.subprocess.Process | None = None
        self.started_s = monotonic()
        self.heard_s = monotonic()
        self.report: Report | None = None
        self.was_ready = False
        self.draining = False
        self.ended = asyncio.Event()

    @property
    def pid(self) -> int:
        return self.child.pid if self.child is not None else 0

    @property
    def state(self) -> str:
        if self.draining:
            return "draining"
        if not self.was_ready:
            return "starting"
        return "silent" if self.silent else "ready"

    @property
    def silent(self) -> bool:
        return monotonic() - self.heard_s > self._patience.silent_s

    def signal(self, number: int) -> None:
        if self.child is not None and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(number)


class Fleet:
    """`on_change()` is called when a process came, went, or fell silent."""

    def __init__(
        self, data_dir: Path, listener: socket.socket, drain_s: float, patience: Patience, on_change: Callable[[], None]
    ) -> None:
        self._data_dir = data_dir
        self._listener = listener
        self.drain_s = drain_s
        self._patience = patience
        self._on_change = on_change
        self._compartments: dict[str, CompartmentSettings] = {}
        self._restarts: dict[str, Restarts] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._ending = False
        self.processes: dict[str, Process] = {}

    # -- what there is ---------------------------------------------------------------

    def workers(self, compartment: str | None = None) -> list[Process]:
        """Living workers that are not on their way out."""
        return [
            process
            for process in self.processes.values()
            if process.compartment != GATE and not process.draining and compartment in (None, process.compartment)
        ]

    def gates(self) -> list[Process]:
        return [process for process in self.processes.values() if process.compartment == GATE]

    def hear(self, report: Report) -> None:
        process = self.processes.get(report.process)
        if process is not None and process.pid == report.pid:
            process.report = report
            process.heard_s = monotonic()
            process.was_ready = process.was_ready or report.ready

    def excuse(self, late_s: float) -> None:
        """We did not listen for as long ourselves: nobody was silent then."""
        for process in self.processes.values():
            process.heard_s = min(monotonic(), process.heard_s + late_s)

    # -- changing it -----------------------------------------------------------------

    def resize(self, compartments: dict[str, CompartmentSettings]) -> None:
        """As many workers as each compartment asks for, pinned and limited as it says."""
        self._compartments = compartments
        if not self.gates():
            self._start_gate()
        for name, settings in compartments.items():
            workers = self.workers(name)
            for process in workers:
                self._limit(process, settings)
            for _ in range(settings.workers.min - len(workers)):
                self._start_worker(name)
            for process in workers[settings.workers.min :]:
                self.retire(process)
        for process in self.workers():
            if process.compartment not in compartments:
                self.retire(process)

    def retire(self, process: Process) -> None:
        """No new connections; it drains and ends."""
        process.draining = True
        self._on_change()
        process.signal(signal.SIGTERM)
        self._own(self._insist(process))

    async def end(self) -> None:
        """Gate first, so that nothing new arrives; then the workers finish what they have."""
        self._ending = True
        for group in (self.gates(), [p for p in self.processes.values() if p.compartment != GATE]):
            for process in group:
                process.draining = True
                process.signal(signal.SIGTERM)
            waits = [asyncio.ensure_future(process.ended.wait()) for process in group]
            if waits:
                _, late = await asyncio.wait(waits, timeout=self.drain_s + self._patience.kill_after_s)
                for process in group:
                    process.signal(signal.SIGKILL)
                if late:
                    await asyncio.wait(late)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._record()

    def check_hung(self) -> None:
        """Ends what has said nothing for too long; its end starts a successor."""
        for process in list(self.processes.values()):
            patience_s = self._patience.hung_s if process.was_ready else self._patience.start_s
            if not process.draining and monotonic() - process.heard_s > patience_s:
                log.error("%s (pid %d) was silent for too long; it is replaced", process.name, process.pid)
                process.signal(signal.SIGKILL)

    # -- one process -----------------------------------------------------------------

    def _start_worker(self, compartment: str) -> None:
        self._number += 1
        inbox = str(run_dir(self._data_dir) / f"w-{os.getpid()}-{self._number}.sock")
        process = Process(f"{compartment}-{self._number}", compartment, self._patience, inbox)
        settings = WorkerSettings(process.name, compartment, str(self._data_dir), inbox, self.drain_s)
        self._start(process, "compartments.worker", settings, ())

    def _start_gate(self) -> None:
        self._number += 1
        process = Process(f"{GATE}-{self._number}", GATE, self._patience)
        fd = self._listener.fileno()
        settings = GateSettings(process.name, str(self._data_dir), fd, self.drain_s)
        self._start(process, "compartments.gate", settings, (fd,))

    def _start(self, process: Process, module: str, settings: msgspec.Struct, fds: tuple[int, ...]) -> None:
        if self._ending:
            return
        self.processes[process.name] = process
        self._own(self._live(process, module, msgspec.json.encode(settings).decode(), fds))

    async def _live(self, process: Process, module: str, argument: str, fds: tuple[int, ...]) -> None:
        """From start to end; then a successor, when it was not told to end."""
        try:
            process.child = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", module, argument, pass_fds=fds, stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            log.error("%s cannot be started: %s", process.name, error.strerror)
            code = os.EX_OSERR
        else:
            settings = self._compartments.get(process.compartment)
            if settings is not None:
                self._limit(process, settings)
            self._record()
            if process.draining:
                process.signal(signal.SIGTERM)  # it was told to end before it was there
            code = await process.child.wait()
        self._forget(process)
        self._on_change()
        if not process.draining and not self._ending:
            await self._restart(process, code)

    def _forget(self, process: Process) -> None:
        del self.processes[process.name]
        process.ended.set()
        if process.inbox:
            with contextlib.suppress(OSError):
                Path(process.inbox).unlink()
        self._record()

    async def _restart(self, process: Process, code: int) -> None:
        lived_s = monotonic() - process.started_s
        record = self._restarts.get(process.compartment, Restarts())
        self._restarts[process.compartment], wait_s = after_death(record, lived_s, random.random())
        why = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        log.warning("%s (pid %d) %s; a new one starts in %.1f s", process.name, process.pid, why, wait_s)
        await asyncio.sleep(wait_s)
        if process.compartment == GATE:
            if not self.gates():  # a change of settings in the meantime has started one
                self._start_gate()
        elif len(self.workers(process.compartment)) < self._wanted(process.compartment):
            self._start_worker(process.compartment)

    def _wanted(self, compartment: str) -> int:
        settings = self._compartments.get(compartment)
        return settings.workers.min if settings else 0

    def _limit(self, process: Process, settings: CompartmentSettings) -> None:
        if process.child is not None:
            limit(process.pid, settings, process.name)
            self._own(rank_session(process.pid, settings.priority, process.name))

    async def _insist(self, process: Process) -> None:
        await asyncio.sleep(self.drain_s + self._patience.kill_after_s)
        process.signal(signal.SIGKILL)

    def _own(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- processes of a supervisor that was killed --------------------------------------

    def _record(self) -> None:
        """Pids with their start times, for the next supervisor on this data directory."""
        found = []
        for process in self.processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.child is not None and process.child.returncode is None:
                    found.append([process.pid, psutil.Process(process.pid).create_time()])
        path = run_dir(self._data_dir) / "processes.json"
        temporary = path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(found))
            temporary.rename(path)
        except OSError as error:  # a full disk must not end the watch over a process
            log.warning("the processes of this node are not on record: %s", error.strerror)


def recorded(data_dir: Path) -> list[psutil.Process]:
    """The processes on record that are still there: a supervisor's, or those that outlived it."""
    path = run_dir(data_dir) / "processes.json"
    try:
        pids = msgspec.json.decode(path.read_bytes(), type=list[tuple[Annotated[int, msgspec.Meta(gt=0)], float]])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    found = []
    for pid, created in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_orphans(data_dir: Path, wait_s: float) -> int:
    """Ends what an earlier supervisor of this data directory left running; how many."""
    orphans = recorded(data_dir)
    for orphan in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.terminate()
    _, alive = psutil.wait_procs(orphans, timeout=wait_s)
    for orphan in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(alive, timeout=wait_s)
    (run_dir(data_dir) / "processes.json").unlink(missing_ok=True)
    return len(orphans)
