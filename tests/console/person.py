"""A person at a terminal: a directory with tables and a havok.toml, and the `havok` program.

Every command is a process of its own, as it is for people.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil

from console.node import Node
from console.workplace import Workplace
from loader.activation import NoNode
from loader.candidate import Silent
from loader.publish import LoadRequest, publish
from tests.compartments import deadline
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
COMMAND_S_MAX = 60.0
READY_S_MAX = 30.0

CONFIG = """
[node]
listen = "127.0.0.1:{listen}"
admin = "127.0.0.1:{admin}"
drain_s = 3.0

[datasets.things]
key = ["id"]
source = "things.csv"
[datasets.things.quality]
min_rows = 5
max_row_change = 0.4
not_null = ["name"]

[datasets.places]
key = ["country", "code"]
source = "places.csv"

[compartments.one]
business = "test"
priority = "high"
[compartments.two]
business = "test"
priority = "low"

[services.thing]
kind = "kv"
dataset = "things"
compartment = "one"
[services.place]
kind = "kv"
dataset = "places"
compartment = "two"
fields = ["name"]
grade = "secondary"
rate_limit = {{ rps = 100000.0, burst = 1000 }}
[services.place.params]
code = {{ pattern = "^[a-z]+$" }}
"""
PLACES = [("de", "ber", "Berlin", 1), ("de", "ham", "Hamburg", 2), ("fr", "par", "Paris", 3)]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of what it printed."""
        return json.loads(self.out.splitlines()[-1])


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def until(done: Callable[[], Any], what: str, seconds: float = READY_S_MAX) -> Any:
    """Polls until something true comes back, which it returns."""
    return deadline.until(done, seconds, what)


def get(port: int, target: str, headers: Mapping[str, str] | None = None) -> Answer:
    return ask("GET", port, target, headers)


def ask(
    method: str, port: int, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, target, body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def things(number: int, rows: int = 20) -> list[tuple[object, ...]]:
    """Rows that all carry the number of their version."""
    return [(index, f"thing {index}", number) for index in range(rows)]


class Person:
    """Use as a context manager: the nodes it started end with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "havok.toml"
        self.data_dir = directory / "var"
        self.port, self.admin_port = free_ports(2)
        self._served: list[Served] = []
        self.config.write_text(CONFIG.format(listen=self.port, admin=self.admin_port))
        self.things(1)
        self.csv("places.csv", "country,code,name,rank", PLACES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for served in self._served:
            served.end()

    def csv(self, name: str, header: str, rows: Sequence[Sequence[object]]) -> Path:
        path = self.directory / name
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        return path

    def things(self, number: int, rows: int = 20, name: str = "things.csv") -> Path:
        return self.csv(name, "id,name,v", things(number, rows))

    def amend(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, 1))

    def argv(self, *arguments: object) -> list[str]:
        return [sys.executable, "-P", "-m", "console.main", *map(str, arguments)]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in ("HAVOK_CONFIG", "FORCE_COLOR")}
        return {**inherited, "PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT), **(extra or {})}

    def havok(self, *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Done:
        """Runs a command to its end, here unless `cwd` says where."""
        done = subprocess.run(
            self.argv(*arguments), cwd=cwd or self.directory, env=self.environment(env), text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=COMMAND_S_MAX, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def does(self, *arguments: object) -> Done:
        """A command that must succeed."""
        done = self.havok(*arguments)
        assert done.code == 0, done
        return done

    def refused(self, *arguments: object) -> str:
        """A command that must fail: its reason, two lines at most unless rows are shown."""
        done = self.havok(*arguments)
        assert done.code == 1, done
        assert done.out == ""
        return done.err

    def serve(self, *, ready: bool = True) -> "Served":
        served = Served(self)
        self._served.append(served)
        if ready:
            served.until_ready()
        return served

    def loaded(self, dataset: str = "things") -> str:
        """The id of a version loaded from the dataset's source, in this process: for tests of something else."""
        place = Workplace(self.config)
        request = LoadRequest(
            data_dir=self.data_dir, dataset=dataset, settings=place.dataset(dataset), config_dir=place.config_dir
        )
        return publish(request, NoNode(), Silent()).version

    def thing(self, number: int = 7) -> Answer:
        return get(self.port, f"/v1/thing?id={number}")


class Served:
    """A `havok serve` that was started."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._log = person.directory / f"serve-{time.monotonic_ns()}.log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                person.argv("serve"), cwd=person.directory, env=person.environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._family: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        return self.process.pid

    def words(self) -> str:
        return self._log.read_text(errors="replace")

    def until_ready(self) -> None:
        """Healthy, and every service that has data answers for itself."""
        until(self.is_healthy, "healthy")
        until(lambda: all(item["state"] == "live" for item in self.status()["services"].values()), "every service live")

    def is_healthy(self) -> bool:
        assert self.process.poll() is None, self.words()
        self._remember()
        try:
            return get(self._person.admin_port, "/healthz").status == 200
        except OSError:
            return False

    def status(self) -> Any:
        """What `havok status --json` prints, without a process for each look."""
        self._remember()
        with Node(self._person.data_dir) as node:
            return node.status()

    def worker(self, compartment: str) -> Any:
        (found,) = self.status()["compartments"][compartment]["workers"]
        return found

    def token(self) -> str:
        return (self._person.data_dir / "admin.token").read_text().strip()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = 20) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.ended()

    def _remember(self) -> None:
        if self.process.poll() is None:
            for child in psutil.Process(self.pid).children(recursive=True):
                self._family.setdefault(child.pid, child)

    def end(self) -> None:
        """Whatever is left of it, by pid."""
        self._remember()
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self.ended()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for child in self._family.values():
            if child.is_running():
                child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
