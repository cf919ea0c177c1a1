"""A simulated node: its processes run the real code, everything around them is drawn from a seed.

Rule: a world is its seed and its scenario; nothing else decides what happens in it.
"""

import asyncio
import gc
import os
import random
import signal
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from compartments.processes.member import Patience
from compartments.supervisor import Supervisor
from havok.errors import HavokError
from havok.messages import ActivateRequest, RestartRequest, StageRequest
from havok.settings import CompartmentSettings, DatasetSettings, NodeSettings, ServiceSettings, Settings, WorkerCount
from tests.simulation.balance import Balance
from tests.simulation.clients import Client
from tests.simulation.disk import Disk
from tests.simulation.laws import History, Laws
from tests.simulation.loop import Loop
from tests.simulation.processes import Kernel, Process
from tests.simulation.sockets import Sockets
from tests.simulation.stage import played
from tests.simulation.trace import Broken, Trace
from tests.simulation.wires import Network, Weather

MS = 1_000_000
PATIENCE = Patience(silent_s=0.7, hung_s=2.0, start_s=4.0, kill_after_s=0.5)
DRAIN_S = 1.6  # more than a request is held for want of a taker, as any node has it
WALL_S = 1_800_000_000.0


def settings_with(compartment_of: dict[str, str], workers: int) -> Settings:
    """Services by compartment; `a` reads x, all others y."""
    return Settings(
        node=NodeSettings(drain_s=DRAIN_S),
        datasets={name: DatasetSettings(key=("id",)) for name in ("x", "y")},
        compartments={
            "one": CompartmentSettings(business="t", priority="high", workers=WorkerCount(workers, 3)),
            "two": CompartmentSettings(business="t", priority="low", workers=WorkerCount(1, 3)),
        },
        services={
            name: ServiceSettings(kind="kv", dataset="x" if name == "a" else "y", compartment=compartment)
            for name, compartment in compartment_of.items()
        },
    )


class Command:
    """What somebody asked a supervisor for; it is over when that is done, refused, or the supervisor dead."""

    def __init__(self, what: str, process: Process, trace: Trace) -> None:
        self.what = what
        self._process = process
        self._trace = trace
        self._done = False

    def end(self, task: "asyncio.Task[Any]") -> None:
        self._done = True
        error = task.exception()
        if isinstance(error, HavokError):
            self._trace.say(self.what, "is refused: {}", error.detail)
        elif error is not None:
            self._trace.fail(f"{self.what} failed: {error!r}")

    @property
    def over(self) -> bool:
        return self._done or not self._process.alive


class World:
    def __init__(self, seed: int, directory: Path, weather: Weather | None = None, clients: int = 4) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.trace = Trace(lambda: self.loop.now_ns)
        self.loop = Loop(self.dice, lambda owner: self.laws.check(owner), self.trace.fail)
        self.sockets = Sockets(self.trace, lambda: self.loop.current, self.loop.monotonic_ns)
        self.network = Network(self.loop, self.dice, self.trace, weather or Weather())
        self.kernel = Kernel(self.loop, self.dice, self.trace, self.sockets, self.network)
        self.history = History(self.loop)
        self.laws = Laws(self.loop, self.trace, self.sockets, self.kernel, self.history)
        self.workers = self.dice.choice((1, 1, 2))
        self.compartment_of = {"a": "one", "b": "two", "c": "two"}
        (directory / "run").mkdir(exist_ok=True)
        self.disk = Disk(directory, settings_with(self.compartment_of, self.workers), self.kernel.is_there)
        for dataset in ("x", "y"):
            self.disk.pointers[dataset] = self.disk.place(dataset)
        self.laws.services = {"a", "b"}
        self.laws.least = {name: found.workers.min for name, found in self.disk.settings.compartments.items()}
        self.wall_offset_s = WALL_S
        self.demand = {"one": 0.4, "two": 0.4}
        self.supervisor: Process | None = None
        self.balance: Balance | None = None
        self.moves: Counter[str] = Counter()
        self.laws.well_since_ns = self._well_since_ns
        self.commands: list[Command] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        port = str(directory / "run" / "port.sock")
        self.listener.bind(port)
        self.listener.listen(4096)
        self.kernel.listener_fd = lambda: os.dup(self.listener.fileno())
        self.clients = [Client(f"c{n}", self.loop, self.dice, self.sockets, self.trace, port) for n in range(clients)]

    # -- what real code sees ---------------------------------------------------------

    def wall(self) -> float:
        return self.wall_offset_s + self.loop.now_ns / 1e9

    def load_of(self, process: Process) -> float:
        mates = [other for other in self.kernel.living("worker") if other.compartment == process.compartment]
        return min(1.0, self.demand.get(process.compartment, 0.0) / max(1, len(mates)))

    def _well_since_ns(self) -> int:
        charge, process = self.charge, self.supervisor
        if charge is None or process is None or self.balance is None or self.balance._supervisor is not charge:
            return self.loop.now_ns
        return max(process.resumed_ns, self.network.since_ns)

    # -- the supervisor --------------------------------------------------------------

    def start_supervisor(self) -> None:
        def body(process: Process) -> Any:
            made = Supervisor(Path("havok.toml"), [], PATIENCE)
            task = self.loop.create_task(made.start())
            task.add_done_callback(lambda done: self._started(process, made, done))
            return made

        self.supervisor = self.kernel.spawn("supervisor", f"supervisor-{self.disk.epoch + 1}", body)

    def _started(self, process: Process, made: Supervisor, task: Any) -> None:
        if task.exception() is not None:
            self.trace.fail(f"{process.name} did not start: {task.exception()!r}")
        self.balance = Balance(made)

    @property
    def charge(self) -> Any:
        """The supervisor's real object, when it is there and listens."""
        process = self.supervisor
        up = process is not None and process.alive and not process.stopped and hasattr(process.body, "changes")
        return process.body if process is not None and up else None

    def _have(self, what: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """A command's work, in the supervisor; what it is refused is no fault."""
        process = self.supervisor
        assert process is not None
        command = Command(what, process, self.trace)
        self.commands.append(command)

        def begin() -> None:
            self.loop.create_task(work()).add_done_callback(command.end)

        self.loop.at(self.loop.now_ns, process, begin)

    def load(self, dataset: str, *, announced: bool = True) -> None:
        """As a load does it: placed, staged, pointed at, activated."""
        charge = self.charge
        if any(command.what == f"load {dataset}" and not command.over for command in self.commands):
            return  # its lock is held
        version = self.disk.place(dataset)
        if charge is None or not announced:
            self.disk.pointers[dataset] = version
            return

        async def publish() -> None:
            await charge._perform(StageRequest(dataset, version, 1))
            self.disk.pointers[dataset] = max(version, self.disk.pointers[dataset])
            self.trace.say("load", "{} points at {}", dataset, version)
            await charge._perform(ActivateRequest(dataset))

        self._have(f"load {dataset}", publish)

    def restart_rolling(self) -> None:
        if self.charge is not None:
            self._have("restart", partial(self.charge._perform, RestartRequest()))

    def reload(self, compartment_of: dict[str, str]) -> None:
        self.compartment_of = compartment_of
        self.disk.settings = settings_with(compartment_of, self.workers)
        self.read_again()

    def read_again(self) -> None:
        """SIGHUP, when there is somebody to hear it."""
        if self.charge is not None and self.charge.settings != self.disk.settings:
            self._have("reload", self.charge.changes.reload)

    # -- running ---------------------------------------------------------------------

    def run(self, scenario: Any) -> None:
        """Raises Broken with the seed and the last that happened."""
        was_on = gc.isenabled()
        gc.disable()
        try:
            with played(self):
                try:
                    scenario(self)
                except Exception as error:
                    raise self._report(error) from error
                finally:
                    self.close()
        finally:
            if was_on:
                gc.enable()

    def _report(self, error: Exception) -> Broken:
        said = error if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        replay = f"HAVOK_SEED={self.seed} replays it"
        return Broken("\n".join([f"{said}  ({replay})", *self.trace.lines(), f"{said}  ({replay})"]))

    def close(self) -> None:
        self.loop.finish()
        for client in self.clients:
            client.close()
        for process in self.kernel.processes.values():
            self.kernel.end(process, -signal.SIGKILL)
        self.listener.close()
        self.loop.close()
        for path in (self.disk.data_dir / "run").iterdir():
            path.unlink()
