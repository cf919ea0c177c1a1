"""What people change in a running node: its configuration, services, scales.

Rule: one change at a time, checked whole before anything moves. It is applied so that nobody
is ever without a worker: new compartments first, then services move, then what is left over
retires.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

from compartments.people.audit import OPERATOR, Audit
from compartments.people.configuration import Configuration
from compartments.people.stored import parse
from compartments.processes.fleet import Fleet
from compartments.processes.ports import Ports, addresses
from compartments.versions.first_loads import changed_datasets
from compartments.versions.rollout import Rollout
from havok.config import Loaded
from havok.errors import NodeError
from havok.messages import ScaleRequest
from havok.settings import Settings

log = logging.getLogger(__name__)

READY_S_MAX = 10.0  # new workers; what takes longer is seen in the status


class Changes:
    """`load_first(datasets)` has those loaded that have no version; `renew()` has outdated processes replaced."""

    def __init__(
        self,
        configuration: Configuration,
        fleet: Fleet,
        rollout: Rollout,
        ports: Ports,
        load_first: Callable[[Collection[str]], None],
        renew: Callable[[], None],
    ) -> None:
        self._configuration = configuration
        self._fleet = fleet
        self._rollout = rollout
        self._ports = ports
        self._load_first = load_first
        self._renew = renew
        self._one = asyncio.Lock()
        self.audit = Audit(configuration.database)

    async def reload(self) -> None:
        """Reads and applies the configuration. Raises ConfigError; then nothing changed."""
        async with self._one:
            loaded = self._configuration.changed()
            try:
                await self._open_ports(loaded)
            except NodeError as error:
                self._configuration.refuse(error.detail)
                raise
            said = await self._adopt(loaded)
        self.audit.note(OPERATOR, "reload", "configuration", said)
        self._load_first(loaded.settings.datasets)  # those that failed may be mended by now

    async def add_services(self, document: str, file: str) -> dict[str, Any]:
        """Checked and compiled first; stored and served only when all of them are right."""
        async with self._one:
            loaded = self._configuration.with_services(document, file, self._rollout.live)
            await self._open_ports(loaded)  # before anything is kept
            self._configuration.stored.add(document)
            await self._change_services(loaded)
        names = sorted(parse(document))
        for name in names:
            self.audit.note(OPERATOR, "add service", name)
        waiting = {name: self._rollout.waits_for(name) for name in names}
        return {"services": names, "waiting": {name: found for name, found in waiting.items() if found}}

    async def remove_service(self, name: str) -> dict[str, Any]:
        async with self._one:
            loaded = self._configuration.without_service(name)
            await self._open_ports(loaded)
            self._configuration.stored.remove(name)
            await self._change_services(loaded)
        self.audit.note(OPERATOR, "remove service", name)
        return {"services": [name]}

    async def _change_services(self, loaded: Loaded) -> None:
        """What failed to load before is not tried again for it, unless the file says something else of it by now."""
        unknown = changed_datasets(self._configuration.settings, loaded.settings)
        await self._adopt(loaded)
        self._load_first(unknown)

    async def scale(self, request: ScaleRequest) -> dict[str, Any]:
        """What holds then. Raises NodeError."""
        async with self._one:
            before = self._configuration.settings
            is_other = self._configuration.scale(request)
            if is_other:
                await self._apply(before)
                await self._fleet.until_serving(READY_S_MAX)
            compartment = self._configuration.settings.compartments[request.compartment]
        workers, marks = compartment.workers, compartment.watermarks
        if is_other:
            said = f"workers.min {workers.min}, workers.max {workers.max}, marks {marks.low:g} and {marks.high:g}"
            said = f"as configured: {said}" if request.reset else said
            log.info("%s is scaled: %s", request.compartment, said)
            self.audit.note(OPERATOR, "scale", request.compartment, said)
        return {"workers": workers.min, "max": workers.max, "low": marks.low, "high": marks.high}

    async def _open_ports(self, loaded: Loaded) -> None:
        """Raises NodeError for one that cannot be had; then none was opened."""
        await asyncio.to_thread(self._ports.open, addresses(loaded.settings))

    async def _adopt(self, loaded: Loaded) -> str:
        """What is other than before."""
        before = self._configuration.settings
        said = self._configuration.adopt(loaded)
        await self._apply(before)
        if self._fleet.outdated():  # a compartment has another port of its own
            self._renew()
        return said

    async def _apply(self, before: Settings) -> None:
        settings = self._configuration.settings
        self._fleet.heed(settings)
        self._fleet.resize({**before.compartments, **settings.compartments})
        await self._fleet.until_serving(READY_S_MAX)
        await self._rollout.apply(settings)
        self._fleet.resize(settings.compartments)
