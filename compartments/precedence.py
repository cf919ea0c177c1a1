"""Lets compartments give way on cores they share with higher ones, for as long as they can live on the rest.

Rule: when is `compartments.machine.courtesy`'s to decide; here workers are looked at ten times a second,
and groups changed. Where there are no control groups nobody gives way: weights alone say who runs.
"""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from time import monotonic_ns

from compartments.machine.courtesy import Courtesy
from compartments.processes.fleet import Fleet

log = logging.getLogger(__name__)

LOOK_S = 0.1


class Precedence:
    def __init__(self, fleet: Fleet, proc: Path = Path("/proc")) -> None:
        self._fleet = fleet
        self._proc = proc
        self._courtesies: dict[str, Courtesy] = {}

    async def run(self) -> None:
        if not (self._proc / "self" / "schedstat").exists():
            return  # this kernel does not tell who starves
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look(monotonic_ns())
            except Exception:  # the next one may be well
                log.exception("nobody was told to give way, or not to")

    def look(self, now_ns: int) -> None:
        isolation = self._fleet.seating.isolation
        sharers = isolation.sharers
        self._courtesies = {name: self._courtesies.get(name) or Courtesy() for name in sharers}
        polite = []
        for name, courtesy in self._courtesies.items():
            ran_ns, waited_ns = self._times(process.pid for process in self._fleet.workers(name))
            if courtesy.gives_way(ran_ns, waited_ns, now_ns):
                polite.append(name)
        isolation.give_way(frozenset(polite))

    def _times(self, pids: Iterable[int]) -> tuple[int, int]:
        """ns that they ran, and waited for a core; of those that there are."""
        ran = waited = 0
        for pid in pids:
            try:
                fields = (self._proc / str(pid) / "schedstat").read_text().split()
            except OSError:
                continue  # not there yet, or no more
            ran += int(fields[0])
            waited += int(fields[1])
        return ran, waited
