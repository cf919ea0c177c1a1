"""Peers side by side: all stand ready, one at a time is loaded, rounds are interleaved.

Rule: a round visits every drive, the next one in the opposite order. CPU is read before and
after each stretch, so what a server does while idle is not counted.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import psutil
from rich.console import Console

from bench.cpu import Cores, cpu_seconds
from bench.peer import Drive, Peer, Place, Running
from bench.process import StartFailed
from bench.report import Round, Row, Skipped
from bench.workload import read_workload
from bench.wrk import ClientFailed

OWN = "havok"  # how the names of Havok's own peers and rows begin
_WARM_S = 1.0


class Options(msgspec.Struct, frozen=True):
    rounds: int = 5
    seconds: float = 3.0
    many_keys: bool = True
    small: bool = False
    only: tuple[str, ...] = ()  # parts of names; empty: all


def is_own(name: str) -> bool:
    """What does not run though it is Havok's is a failure; a peer that is missing is none."""
    return name.startswith(OWN)


class Contest:
    """The peers that could be started, and what was measured of each of their drives."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._entries: list[tuple[Running, Drive]] = []
        self._rounds: dict[str, list[Round]] = {}
        self.running: dict[str, Running] = {}
        self.skipped: list[Skipped] = []

    def start(self, all_peers: Sequence[Peer], cores: Cores, directory: Path, stack: ExitStack) -> None:
        """Starts what can run; `stack` ends it."""
        workload = read_workload()
        for number, peer in enumerate(all_peers):
            if self._options.only and not any(part.lower() in peer.name.lower() for part in self._options.only):
                continue
            if reason := peer.unavailable():
                self.skipped.append(Skipped(peer.name, reason))
                continue
            own = directory / str(number)
            own.mkdir()
            with self._console.status(f"starting {peer.name}"):
                try:
                    running = peer.start(Place(own, cores, workload, self._options.many_keys))
                except StartFailed as failure:
                    self.skipped.append(Skipped(peer.name, f"it did not start: {failure}", failed=is_own(peer.name)))
                    continue
            stack.callback(running.stop)
            self.running[peer.name] = running
            self._entries.extend((running, drive) for drive in running.drives)

    def leave(self, name: str, reason: str) -> None:
        """A drive is not measured, through a fault of Havok's or the benchmark's."""
        self.skipped.append(Skipped(name, reason, failed=True))
        self._entries = [(running, drive) for running, drive in self._entries if drive.name != name]

    def run(self) -> None:
        for running, drive in self._entries[:]:
            self._stretch(running, drive, min(_WARM_S, self._options.seconds))  # warm, not kept
        for number in range(self._options.rounds):
            order = self._entries[:] if number % 2 == 0 else self._entries[::-1]
            for running, drive in order:
                with self._console.status(f"round {number + 1} of {self._options.rounds}: {drive.name}"):
                    measured = self._stretch(running, drive, self._options.seconds)
                if measured is not None:
                    self._rounds.setdefault(drive.name, []).append(measured)

    def _stretch(self, running: Running, drive: Drive, seconds: float) -> Round | None:
        """One stretch; a drive that fails leaves the contest with the reason."""
        try:
            pids = running.pids()
            before = cpu_seconds(pids)
            observed = drive.run(seconds)
            used = cpu_seconds(pids) - before
            if not observed.requests:
                raise ClientFailed("no request was answered")
        except (ClientFailed, psutil.NoSuchProcess) as failure:
            reason = "a serving process ended" if isinstance(failure, psutil.NoSuchProcess) else str(failure)
            self.skipped.append(Skipped(drive.name, reason, failed=is_own(drive.name)))
            self._entries.remove((running, drive))
            self._rounds.pop(drive.name, None)
            return None
        return Round(observed, used)

    def rows(self) -> list[Row]:
        return [
            Row(drive.name, drive.client, drive.items, drive.note, tuple(self._rounds[drive.name]))
            for _, drive in self._entries
            if drive.name in self._rounds
        ]
