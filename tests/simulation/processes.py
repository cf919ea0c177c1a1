"""Processes of a simulated node: started, stopped, killed, and watched.

Rule: the code that runs in them is the real one. One that is killed does nothing any more,
and what it held is closed; one that is stopped does everything later; who watches it hears
of its end a moment after.
"""

import asyncio
import random
import signal
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from compartments import gate as gate_module
from compartments import worker
from compartments.processes import member
from compartments.processes.process import GateSettings, WorkerSettings
from compartments.processes.roster import Entry
from tests.simulation.loop import Loop, Owner
from tests.simulation.sockets import Sockets
from tests.simulation.trace import Trace
from tests.simulation.wires import Network

START_NS = (5_000_000, 80_000_000)
TOLD_NS_MAX = 2_000_000  # a signal, an end


class Process(Owner):
    """`body`: the real object that runs in it, once it does."""

    def __init__(self, name: str, pid: int, kind: str) -> None:
        super().__init__()
        self.name = name
        self.pid = pid
        self.kind = kind
        self.compartment = ""
        self.inbox = ""
        self.told_to_end = False
        self.killed = False
        self.ended_ns = 0
        self.stopped_ns = self.resumed_ns = 0
        self.end_told = False  # to a supervisor
        self.code: int | None = None
        self.body: Any = None
        self.on_terminate: Callable[[], None] = lambda: None
        self.watchers: list[tuple[Owner, Callable[[], None]]] = []


class Kernel:
    def __init__(self, loop: Loop, dice: random.Random, trace: Trace, sockets: Sockets, network: Network) -> None:
        self.loop = loop
        self.dice = dice
        self.trace = trace
        self.sockets = sockets
        self.network = network
        self.processes: dict[int, Process] = {}
        self.listener_fd: Callable[[], int] = lambda: -1
        self.signalled: Callable[[Process, int], None] = lambda process, number: None
        self._pid = 1000

    def spawn(self, kind: str, name: str, body: Callable[[Process], Any]) -> Process:
        self._pid += 1
        process = self.processes[self._pid] = Process(name, self._pid, kind)
        first, last = START_NS
        self.loop.at(self.loop.now_ns + self.dice.randrange(first, last), process, self._boot, process, body)
        self.trace.say(name, "starts")
        return process

    def _boot(self, process: Process, body: Callable[[Process], Any]) -> None:
        process.resumed_ns = self.loop.now_ns
        process.body = body(process)
        self.trace.say(process.name, "runs")

    def child(self, module: str, argument: str) -> Process:
        """As `python -m module argument`."""
        if module == "compartments.worker":
            settings = msgspec.json.decode(argument, type=WorkerSettings)
            process = self.spawn(
                "worker", settings.process, lambda process: self._live(worker.Worker(settings, forwards=False))
            )
            process.compartment, process.inbox = settings.compartment, settings.inbox
            return process
        told = msgspec.json.decode(argument, type=GateSettings)

        def gate(_process: Process) -> Any:
            return self._live(gate_module.Gate(msgspec.structs.replace(told, listener_fd=self.listener_fd())))

        return self.spawn("gate", told.process, gate)

    def _live(self, body: Any) -> Any:
        process = self.loop.current
        assert isinstance(process, Process)
        task = self.loop.create_task(body._live())
        task.add_done_callback(lambda done: self._returned(process, done))
        return body

    def _returned(self, process: Process, task: "asyncio.Task[Any]") -> None:
        if task.exception() is not None:
            self.trace.fail(f"{process.name} failed: {task.exception()!r}")
        self.end(process, 0)

    def end(self, process: Process, code: int) -> None:
        if not process.alive:
            return
        self.trace.say(process.name, "ends with {}", code)
        process.alive = False
        process.ended_ns = self.loop.now_ns
        process.code = code
        self.loop.forget_readers(process)
        self.sockets.end(process, killed=code != 0)
        body = process.body
        if process.kind != "supervisor" and body is not None:
            (body._server.reactor if process.kind == "worker" else body._reactor)._epoll.close()
        self.network.forget(process)
        for owner, callback in process.watchers:
            self.loop.at(self.loop.now_ns + self._moment(), owner, self._tell, process, callback)

    def _tell(self, process: Process, callback: Callable[[], None]) -> None:
        process.end_told = True
        callback()

    def _moment(self) -> int:
        return int(self.dice.random() * TOLD_NS_MAX)

    # -- signals ---------------------------------------------------------------------

    def signal(self, process: Process, number: int) -> None:
        self.signalled(process, number)
        if not process.alive:
            return
        self.trace.say(process.name, "gets {}", signal.Signals(number).name)
        if number == signal.SIGKILL:
            process.killed = True
            self.end(process, -number)
        elif number == signal.SIGTERM:
            process.told_to_end = True
            self.loop.at(self.loop.now_ns + self._moment(), process, self._terminate, process)
        elif number == signal.SIGSTOP:
            process.stopped = True
            process.stopped_ns = self.loop.now_ns
        elif number == signal.SIGCONT and process.stopped:
            process.stopped = False
            process.resumed_ns = self.loop.now_ns
            self.loop.go_on(process)

    def _terminate(self, process: Process) -> None:
        if process.body is None:  # Python's default, before the code that drains is there
            self.end(process, -signal.SIGTERM)
        else:
            process.on_terminate()

    # -- what is there ---------------------------------------------------------------

    def living(self, *kinds: str) -> list[Process]:
        return [process for process in self.processes.values() if process.alive and process.kind in kinds]

    def is_there(self, entry: Entry) -> bool:
        process = self.processes.get(entry.pid)
        return process is not None and process.alive and entry.ticks == process.pid


class SimMember(member.Member):
    """A `Member` of processes of the kernel here: `kernel` is set on the class of a run."""

    kernel: Kernel
    _process: Process | None = None

    def start(self, module: str, argument: str, listeners: Mapping[str, int]) -> None:
        self.addresses = tuple(listeners)
        self._attach(self.kernel.child(module, argument))

    def _watch(self, pid: int) -> None:
        process = self.kernel.processes.get(pid)
        if process is None or not process.alive:
            raise ProcessLookupError(f"process {pid} has ended")
        self._attach(process)

    def _attach(self, process: Process) -> None:
        self._process = process
        self.pid = self.ticks = process.pid
        self._pidfd = 0
        process.watchers.append((self.kernel.loop.current, self._on_end))

    def _reap(self) -> int | None:
        assert self._process is not None
        return self._process.code

    def _forget(self) -> None:
        self._pidfd = -1

    def signal(self, number: int) -> None:
        if self._pidfd >= 0 and self._process is not None:
            self.kernel.signal(self._process, number)
