"""The executors of a worker's analytical services, one pool for each set of limits.

Rule: a pool whose limits are no longer anyone's answers what it was asked and ends.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from compartments.processes.process import PoolSettings
from compartments.queries.executors import Executors
from compartments.queries.tally import Tally
from havok.messages import ExecutorGauge
from havok.settings import ExecutorSettings


class Pools:
    def __init__(self, data_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._data_dir = str(data_dir)
        self._loop = loop
        self._pools: dict[ExecutorSettings, Executors] = {}
        self._ending: dict[asyncio.Task[None], Executors] = {}
        self._tally = Tally()

    @property
    def gauges(self) -> tuple[ExecutorGauge, ...]:
        """Of every place for a process there is, those that end included."""
        return tuple(gauge for pool in self._all() for gauge in pool.gauges)

    @property
    def queries(self) -> dict[str, int]:
        """How many wait for a process, and what became of all others."""
        counts: dict[str, int] = {"waiting": sum(pool.queued for pool in self._all())}
        counts.update(self._tally.counts.items())
        return counts

    def of(self, settings: ExecutorSettings) -> Executors:
        """The pool with these limits; its processes start when they are needed."""
        found = self._pools.get(settings)
        if found is None:
            found = self._pools[settings] = Executors(
                PoolSettings(
                    data_dir=self._data_dir,
                    processes_max=settings.processes,
                    memory_mb=settings.memory_mb,
                    threads=settings.threads,
                    timeout_s=settings.timeout_s,
                ),
                self._tally,
            )
        return found

    def keep(self, wanted: Iterable[ExecutorSettings]) -> None:
        """Ends the others."""
        for settings in self._pools.keys() - set(wanted):
            pool = self._pools.pop(settings)
            task = self._loop.create_task(_end(pool))
            self._ending[task] = pool
            task.add_done_callback(self._ended)

    def _all(self) -> Iterator[Executors]:
        return chain(self._pools.values(), self._ending.values())

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._ending[task]

    async def close(self) -> None:
        """Every process has ended."""
        for task in list(self._ending):
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))


async def _end(pool: Executors) -> None:
    try:
        await pool.rest()
    finally:
        await pool.close()
