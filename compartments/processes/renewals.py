"""Processes replaced one after another: because a person wants it, or because they are outdated or old.

Rule: one round at a time, one process at a time; who cannot be replaced serves on, and ends the
round with the reason.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from compartments.processes.fleet import Fleet
from compartments.processes.member import Member
from compartments.processes.recycling import due
from havok.errors import NodeError
from havok.settings import CompartmentSettings

log = logging.getLogger(__name__)

RECYCLE_S = 1.0  # how soon a worker over a limit is noticed


class Renewals:
    """`when_current()` is called when nobody is outdated any more."""

    def __init__(self, fleet: Fleet, when_current: Callable[[], None]) -> None:
        self._fleet = fleet
        self._when_current = when_current
        self._one = asyncio.Lock()

    async def renew(self, processes: Iterable[Member]) -> int:
        """Each by a successor that serves before it goes; how many. Raises NodeError."""
        renewed = 0
        async with self._one:
            for process in processes:
                if not process.draining and not process.ended.is_set():
                    await self._fleet.renew(process)
                    renewed += 1
                    log.info("%s was replaced", process.name)
        return renewed

    async def renew_outdated(self) -> None:
        """Those that run other code than is installed, or hold other ports than is configured."""
        outdated = self._fleet.outdated()
        if outdated:
            log.info("%d processes run other code or hold other ports; they are replaced in turn", len(outdated))
        try:
            await self.renew(outdated)
        except NodeError as error:
            log.error("%s", error.detail)
        else:
            self._when_current()

    async def recycle(self, compartments: Callable[[], Mapping[str, CompartmentSettings]]) -> None:
        """For ever: workers over their limits of memory or requests."""
        while True:
            await asyncio.sleep(RECYCLE_S)
            for name, settings in compartments().items():
                for process in self._fleet.lasting(name):
                    reason = due(settings, process.report) if process.report is not None else None
                    if reason is None or process.draining:
                        continue
                    log.info("%s is replaced: %s", process.name, reason)
                    try:
                        await self.renew([process])
                    except NodeError as error:
                        log.error("%s", error.detail)
