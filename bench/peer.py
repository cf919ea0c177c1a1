"""What a peer is: it says why it cannot run, or starts and offers drives.

Rule: `pids` are the processes that serve the measured requests and no others; helpers such
as a database behind a framework or a supervisor are left out, and the row's note says so.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from bench.cpu import Cores
from bench.workload import Request, Workload
from bench.wrk import Observed, wrk_drive


class Place(msgspec.Struct, frozen=True):
    """Where and on what a peer runs; `directory` is its own and empty."""

    directory: Path
    cores: Cores
    workload: Workload
    many_keys: bool

    def wrk(self, port: int, requests: Sequence[Request], script: str = "drive.lua") -> Callable[[float], Observed]:
        """A drive of wrk at this port; each of one peer needs a script of its own."""
        path = self.directory / script
        return wrk_drive(port, requests, many=self.many_keys, core=self.cores.client, script=path)


class Drive(msgspec.Struct, frozen=True):
    """One row of the table: how a running peer is loaded. `items`: lookups in one request."""

    name: str
    client: str
    run: Callable[[float], Observed]
    items: int = 1
    note: str = ""


class Running(msgspec.Struct, frozen=True):
    """`answer(service, number)`: the body of one call, where peers are asked the same question."""

    pids: Callable[[], list[int]]
    drives: tuple[Drive, ...]
    stop: Callable[[], None]
    answer: Callable[[str, int], bytes] | None = None


class Peer(Protocol):
    @property
    def name(self) -> str: ...

    def unavailable(self) -> str | None:
        """Why it cannot run here; None when it can."""

    def start(self, place: Place) -> Running:
        """Serving when it returns. Raises StartFailed, having ended what it started."""
