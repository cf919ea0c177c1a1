"""A Havok node as a benchmark runs it: its own directory, free ports, a pinned worker in each compartment.

Rule: it is driven only through what the contract fixes: `havok.toml`, the commands with
`--json`, and the ports. So it measures any version of Havok.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from bench.leftover import leftover
from bench.process import Server, StartFailed, answers, environment, free_ports, get, python

PROGRAM = "console.main"
COMPARTMENT = "bench"
FIRST_ANSWER_S_MAX = 120.0  # a first start loads the datasets
_COMMAND_S_MAX = 120.0
_UNREACHED = {"rps": 10_000_000, "burst": 1_000_000}


class Dataset(msgspec.Struct, frozen=True):
    source: str
    key: tuple[str, ...]
    keep_versions: int = 3
    indexes: dict[str, tuple[str, ...]] = {}


class Service(msgspec.Struct, frozen=True):
    """A kv over a dataset, or with `sql` a query; `params`: rules by parameter, as they stand in the file."""

    dataset: str = ""
    fields: tuple[str, ...] = ()
    sql: str = ""
    params: dict[str, dict[str, Any]] = {}
    compartment: str = COMPARTMENT


class Contents(msgspec.Struct, frozen=True):
    """What the node serves, by name. `priorities`: of its compartments.

    Each service has a rate limit that is never reached, so that counting it is in the path.
    """

    datasets: dict[str, Dataset]
    services: dict[str, Service]
    priorities: dict[str, str] = msgspec.field(default_factory=lambda: {COMPARTMENT: "high"})


class Worker(msgspec.Struct, frozen=True):
    pid: int


class Compartment(msgspec.Struct, frozen=True):
    workers: tuple[Worker, ...] = ()


class Gate(msgspec.Struct, frozen=True):
    pids: tuple[int, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """The part of `havok status --json` that a benchmark needs."""

    gate: Gate
    compartments: dict[str, Compartment]

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for compartment in self.compartments.values() for worker in compartment.workers]

    @property
    def serving_pids(self) -> list[int]:
        """Workers and gate: what answers and what accepts."""
        return [*self.worker_pids, *self.gate.pids]


def node_missing() -> str | None:
    """Why `havok serve` cannot run from this checkout; None when it can."""
    try:
        found = find_spec(PROGRAM)
    except ModuleNotFoundError:
        found = None
    return None if found else f"havok serve is not runnable: no module {PROGRAM}"


def _table(name: str, values: dict[str, Any]) -> str:
    """A TOML table; JSON writes strings, numbers and arrays the same way. What is empty is left out."""
    given = {key: value for key, value in values.items() if value not in ((), [], {}, "", None)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in given.items() if not isinstance(value, dict)]
    below = [_table(f"{name}.{key}", value) for key, value in given.items() if isinstance(value, dict)]
    return "\n".join([f"[{name}]", *lines, "", *below])


def _service(service: Service) -> dict[str, Any]:
    kind = "sql" if service.sql else "kv"
    return {"kind": kind, **msgspec.to_builtins(service), "rate_limit": _UNREACHED}


class Node:
    """One node, on one core or (None) on any. Its directory outlives `stop`, so that it can start again.

    `program`: the module that serves, where that is another than everybody's. `loose`: only the workers are on the
    core, and where Havok is imported from is `directory/installed`, if that is there.
    """

    def __init__(
        self,
        directory: Path,
        core: int | None,
        contents: Contents,
        program: str = PROGRAM,
        *,
        workers_max: int = 1,
        loose: bool = False,
        core_of: Mapping[str, int] | None = None,
    ) -> None:
        """`core_of`: compartments that have another core."""
        self.directory = directory
        self._loose = loose
        self._workers_max = workers_max
        self._core_of = core_of or {}
        self.port, self.admin_port = free_ports(2)
        self.config = directory / "havok.toml"
        self._core = core
        self._program = program
        self._server: Server | None = None
        node = {"name": "bench", "data_dir": "var"}
        tables = [
            _table("node", {**node, "listen": f"127.0.0.1:{self.port}", "admin": f"127.0.0.1:{self.admin_port}"}),
            *(_table(f"compartments.{name}", self._compartment(name, of)) for name, of in contents.priorities.items()),
            *(_table(f"datasets.{name}", msgspec.to_builtins(found)) for name, found in contents.datasets.items()),
            *(_table(f"services.{name}", _service(service)) for name, service in contents.services.items()),
        ]
        self.config.write_text("\n".join(tables))

    def _compartment(self, name: str, priority: str) -> dict[str, Any]:
        core = self._core_of.get(name, self._core)
        cpus = () if core is None else (core,)
        workers = {"min": 1, "max": self._workers_max}
        return {"business": "bench", "priority": priority, "cpus": cpus, "workers": workers}

    def start(self, *ready: str) -> None:
        """Serving these targets when it returns. Raises StartFailed."""
        log = self.directory / "serve.log"
        core = None if self._loose else self._core
        self._server = Server(python(self._program, "serve", str(self.config)), core, log, self._environment())
        self._server.wait_until(lambda: answers(self.port, "/healthz"), FIRST_ANSWER_S_MAX)
        self.wait_for(*ready)

    def _environment(self) -> dict[str, str]:
        installed = self.directory / "installed"
        return {**os.environ, "PYTHONPATH": str(installed)} if installed.exists() else environment()

    @property
    def supervisor_pid(self) -> int:
        assert self._server is not None, "not started"
        return self._server.pid

    def kill_supervisor(self) -> None:
        """SIGKILL; what it left serves on, until `start` has another one adopt it."""
        assert self._server is not None, "not started"
        self._server.kill()

    def wait_for(self, *ready: str) -> None:
        """Until each of these targets gets 200. Raises StartFailed, and the node is ended."""
        assert self._server is not None, "not started"
        for target in ready:
            self._server.wait_until(partial(answers, self.port, target), FIRST_ANSWER_S_MAX)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        for pid in self._left():  # by a supervisor that was killed, and that nobody followed
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _left(self) -> list[int]:
        """Processes that name this node's directory, which no other has."""
        mine = os.fsencode(self.directory)
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if b"compartments." in (words := path.read_bytes()) and mine in words:
                    found.append(int(path.parent.name))
        return found

    def command(self, *arguments: str, last: bool = False) -> str:
        """Runs `havok … --json -c CONFIG` → its standard output. Raises StartFailed when it is refused.

        `last`: it only gets what others leave of its core.
        """
        argv = python(PROGRAM, *arguments, "--json", "-c", str(self.config))
        try:
            done = subprocess.run(
                leftover(argv) if last else argv, env=self._environment(), capture_output=True, text=True,
                timeout=_COMMAND_S_MAX, check=False, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StartFailed(f"havok {' '.join(arguments)} took more than {_COMMAND_S_MAX:.0f} s") from None
        if done.returncode != 0:
            raise StartFailed(f"havok {' '.join(arguments)} said: {' '.join(done.stderr.split())[-300:]}")
        return done.stdout

    def seen_from_outside(self) -> Status | None:
        """The status by the admin plane, without a process for each look; None while that does not answer."""
        token = self.directory / "var" / "admin.token"
        if not token.exists():
            return None
        found = get(self.admin_port, "/api/status", {"Authorization": f"Bearer {token.read_text().strip()}"})
        return None if found is None or found[0] != 200 else msgspec.json.decode(found[2], type=Status)

    def status(self) -> Status:
        return msgspec.json.decode(self.command("status"), type=Status)

    def serving_pids(self) -> Callable[[], list[int]]:
        """→ a function; asking takes a process start, so it asks once and later answers from memory."""
        pids = self.status().serving_pids
        return lambda: pids
