"""Lets compartments give way on cores they share with higher ones, for as long as they can live on the rest.

Rule: when is `compartments.machine.courtesy`'s to decide; here workers are looked at ten times a second,
and groups changed. Where there are no control groups nobody gives way: weights alone say who runs.
"""

import asyncio
import logging
from pathlib import Path
from time import monotonic_ns

from compartments.machine.courtesy import Courtesy, Task
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
        self._courtesies = {name: self._courtesies.get(name) or Courtesy() for name in isolation.sharers}
        polite = []
        for name, courtesy in self._courtesies.items():
            tasks = {number: task for number in isolation.tasks(name) if (task := self._task(number)) is not None}
            if courtesy.gives_way(tasks, now_ns):
                polite.append(name)
        isolation.give_way(frozenset(polite))

    def _task(self, number: int) -> Task | None:
        """None: it has ended."""
        try:
            ran, waited, _ = (self._proc / str(number) / "schedstat").read_text().split()
            state = (self._proc / str(number) / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return Task(int(ran), int(waited), state == "R")
