"""A node under test: its configuration, its processes, and the control socket."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import psutil
import zmq

from compartments.machine.cgroups import find
from compartments.machine.isolation import prefix
from compartments.people.audit import Audit, Audited
from compartments.people.database import ControlDatabase
from compartments.processes.member import Patience
from compartments.processes.roster import read_roster
from havok import messages
from havok.errors import NodeError
from havok.layout import control_socket, run_dir
from tests import snapshots
from tests.compartments.client import Client
from tests.compartments.deadline import until
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]


def toml(name: str, values: Mapping[str, Any]) -> str:
    """A TOML table; nested mappings become tables of their own."""
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    nested = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    lines = [f"[{name}]", *(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()), ""]
    return "\n".join([*lines, *(toml(f"{name}.{key}", value) for key, value in nested.items())])


def service(compartment: str, dataset: str = "things", **more: Any) -> dict[str, Any]:
    return {"kind": "kv", "dataset": dataset, "compartment": compartment, **more}


class Node:
    """Use it as a context manager: whatever was started is ended."""

    def __init__(self, directory: Path, data_dir: Path | None = None, patience: Patience | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "havok.toml"
        self.data_dir = data_dir or directory / "var"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log = directory / "serve.log"
        self.port, admin_port = free_ports(2)
        self.node: dict[str, Any] = {
            "data_dir": str(self.data_dir),
            "listen": f"127.0.0.1:{self.port}",
            "admin": f"127.0.0.1:{admin_port}",
            "drain_s": 3.0,
        }
        self.patience = patience or Patience()
        self.datasets: dict[str, dict[str, Any]] = {"things": {"key": ["id"]}}
        self.compartments: dict[str, dict[str, Any]] = {"one": {"business": "test"}, "two": {"business": "test"}}
        self.services: dict[str, dict[str, Any]] = {"a": service("one"), "b": service("two")}
        self.supervisor: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}
        self._prefix = "havok.none"  # of its control groups; its name may change in the file, not in the node

    # -- data and configuration --------------------------------------------------------

    def write(self) -> None:
        tables = [toml("node", self.node)]
        for section in ("datasets", "compartments", "services"):
            tables += [toml(f"{section}.{name}", table) for name, table in getattr(self, section).items()]
        temporary = self.config.with_suffix(".new")
        temporary.write_text("\n".join(tables))
        temporary.rename(self.config)  # a reload never reads half of it

    def load(self, number: int, dataset: str = "things", *, rows: int = 20, point: bool = True) -> str:
        """A version whose rows all say its number."""
        made = snapshots.build(self.data_dir, dataset, {f"k{i}": {"v": f"v{number}-{i}"} for i in range(rows)}, number)
        if point:
            snapshots.point(self.data_dir, dataset, made)
        return made

    # -- processes -------------------------------------------------------------------

    def start(self, *, serving: bool = True) -> Self:
        self.write()
        self._prefix = prefix(self.node.get("name", "local"), self.data_dir)
        with self.log.open("ab") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.compartments.serving", self.config,
                 msgspec.json.encode(self.patience)],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        if serving:
            until(self.is_serving, 20, f"serving; log: {self.words()}")
        return self

    def is_serving(self) -> bool:
        """Every worker asked for is ready, the gate is there, every service live."""
        assert self.supervisor is not None
        assert self.supervisor.poll() is None, self.words()
        if not os.path.exists(control_socket(self.data_dir).removeprefix("ipc://")):
            return False
        try:
            status = self.status()
        except NodeError:
            return False
        self.remember()
        workers = [worker for found in status["compartments"].values() for worker in found["workers"]]
        wanted = sum(table.get("workers", {}).get("min", 1) for table in self.compartments.values())
        return (
            bool(status["gate"]["pids"])
            and len(workers) == wanted
            and all(worker["state"] == "ready" for worker in workers)
            and all(found["state"] != "starting" for found in status["services"].values())
        )

    def remember(self) -> None:
        """Whom to end, whatever happens."""
        if self.supervisor is not None and self.supervisor.poll() is None:
            self._remember(psutil.Process(self.supervisor.pid).children(recursive=True))
        roster = read_roster(self.data_dir)
        for entry in roster.processes if roster else ():  # those that were adopted are nobody's children
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(entry.pid)
                self._remember([process, *process.children(recursive=True)])

    def _remember(self, processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            self._family.setdefault(process.pid, process)

    def words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def terminate(self) -> None:
        assert self.supervisor is not None
        self.supervisor.send_signal(signal.SIGTERM)

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; the exit code."""
        assert self.supervisor is not None
        self.remember()
        self.terminate()
        return self.supervisor.wait(seconds)

    def kill_supervisor(self) -> None:
        assert self.supervisor is not None
        self.remember()
        self.supervisor.kill()
        self.supervisor.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.words())
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGSTOP)  # it starts nobody while we look
            self.remember()
            self.supervisor.kill()
            self.supervisor.wait()
        for process in self._family.values():
            if process.is_running():
                process.kill()
        until(lambda: all(ended(process) for process in self._family.values()), 5)
        groups = find(self._prefix).groups if self._family else None
        if groups is not None:
            until(groups.close, 5)  # a supervisor that was killed left them
        if (path := run_dir(self.data_dir)).parent != self.data_dir.resolve():
            for file in path.glob("*"):
                file.unlink()

    # -- asking it -------------------------------------------------------------------

    def request(self, message: messages.Request, seconds: float = 20) -> Any:
        """Raises NodeError with the node's reason."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as wire:
            wire.setsockopt(zmq.LINGER, 0)
            wire.connect(control_socket(self.data_dir))
            wire.send(messages.encode(message))
            if not wire.poll(round(seconds * 1000)):
                raise NodeError("no answer")
            reply = messages.decode_outbound(wire.recv())
        assert isinstance(reply, messages.Reply)
        if reply.error is not None:
            raise NodeError(reply.error)
        return msgspec.msgpack.decode(reply.data)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.request(messages.StatusRequest(), 2)
        return document

    def audit(self) -> list[Audited]:
        return Audit(ControlDatabase(self.data_dir)).newest(1000)

    def workers(self, compartment: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status()["compartments"][compartment]["workers"]
        return found

    def worker_pids(self, *compartments: str) -> list[int]:
        return [worker["pid"] for name in compartments or self.compartments for worker in self.workers(name)]

    def gate_pid(self) -> int:
        (pid,) = self.status()["gate"]["pids"]
        return int(pid)

    def swap(self, version: str, dataset: str = "things") -> dict[str, Any]:
        """Stages, points and activates, as a load does."""
        self.request(messages.StageRequest(dataset, version))
        snapshots.point(self.data_dir, dataset, version)
        answer: dict[str, Any] = self.request(messages.ActivateRequest(dataset))
        return answer

    def client(self, timeout: float = 10) -> Client:
        return Client(("127.0.0.1", self.port), timeout)


def ended(process: psutil.Process) -> bool:
    """Whoever adopted it may be slow to take notice."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def send_signal(pid: int, number: int) -> None:
    """To one process; 0 and less would be whole groups."""
    assert pid > 1
    os.kill(pid, number)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def files(pid: int) -> int:
    """Descriptors that are no sockets: of those, lines to other workers come and go."""
    return descriptors(pid) - len(open_files(pid, "socket:"))


def open_files(pid: int, needle: str) -> Sequence[str]:
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue
        if needle in name:
            found.append(name)
    return found


def maps(pid: int, needle: str) -> Sequence[str]:
    with open(f"/proc/{pid}/maps") as file:
        return [line for line in file if needle in line]
