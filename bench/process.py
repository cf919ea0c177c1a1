"""A server process of a benchmark: started pinned, waited for, ended by its own pid.

Rule: nothing is synchronised by sleeping a fixed time; a server is ready when it answers.
Every process that is started here is ended here, its descendants included, whatever happens.
"""

import http.client
import os
import pwd
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from bench.cpu import pinned

REPOSITORY = Path(__file__).resolve().parent.parent
READY_S_MAX = 30.0
STOP_S_MAX = 15.0
LINE_S_MAX = 60.0  # a stretch, or what comes before the first
_POLL_S = 0.005
_LOG_TAIL_CHARS = 300


class StartFailed(Exception):
    """A server ended or stayed silent instead of serving; the text says why."""


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on; all are held until the last is found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def python(module: str, *arguments: str) -> list[str]:
    """A command line that runs a module of this repository, from any directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, with the repository importable."""
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{path}" if path else str(REPOSITORY), **extra}


class Server:
    """One started server; `log` takes what it prints. `talks`: it is spoken to by its input and output."""

    def __init__(
        self,
        argv: Sequence[str],
        core: int | None,
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        user: str | None = None,
        talks: bool = False,
    ) -> None:
        """`user`: whose process it is, when that is not who asks."""
        self.log = log
        with pinned(core), log.open("wb") as output:
            self._process = subprocess.Popen(
                argv,
                cwd=log.parent,
                env=env if env is not None else environment(),
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                user=user,
                group=user and pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else (),
                start_new_session=True,  # Ctrl-C reaches the benchmark, which ends its servers in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> list[int]:
        """Pids of every descendant, at this moment."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def wait_until(self, ready: Callable[[], bool], seconds_max: float = READY_S_MAX) -> None:
        """Polls `ready`. Raises StartFailed when the server ends or the time is up, and ends it."""
        deadline = time.monotonic() + seconds_max
        try:
            while not ready():
                if (code := self._process.poll()) is not None:
                    raise StartFailed(f"ended with code {code}: {self.last_words()}")
                if time.monotonic() > deadline:
                    raise StartFailed(f"no answer within {seconds_max:.0f} s: {self.last_words()}")
                time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise

    def write(self, line: bytes) -> None:
        assert self._process.stdin is not None, "started to be talked to"
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def read_line(self) -> bytes:
        """One that answers one that was written; what there is of it when the process ends or is silent too long."""
        assert self._process.stdout is not None, "started to be talked to"
        ready, _, _ = select.select([self._process.stdout], [], [], LINE_S_MAX)
        return self._process.stdout.readline() if ready else b""

    def last_words(self) -> str:
        """The end of the log on one line."""
        text = " ".join(self.log.read_text(errors="replace").split())
        return text[-_LOG_TAIL_CHARS:] or "it said nothing"

    def kill(self) -> None:
        """SIGKILL to it alone; its descendants are somebody else's from now on."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left of it and its descendants."""
        try:
            family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        _, left = psutil.wait_procs([process for process in family if process.pid != self.pid], timeout=2)
        for process in left:
            process.kill()


def get(port: int, target: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes] | None:
    """One GET on a connection of its own: (status, headers, body); None while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", target, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def answers(port: int, target: str, containing: bytes = b"") -> bool:
    """Whether a GET gets 200 and a body with these bytes in it."""
    answer = get(port, target)
    return answer is not None and answer[0] == 200 and containing in answer[2]
