"""First loads: what has a source and no version yet is loaded without being asked for.

Rule: one after another, each in a process of its own that ends with the supervisor; one that
failed is a person's to mend, and is tried again only where that was asked for or the dataset's
settings changed. A person's load of the same dataset and this one wait for each other.
"""

import asyncio
import logging
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from havok.layout import live_version
from havok.settings import Settings

log = logging.getLogger(__name__)

END_S_MAX = 5.0  # to remove what was built so far; the next load would, too


class FirstLoads:
    """`command` + [dataset] loads a dataset, if it has no version still; `settings()` are those in force.

    `loading`: the dataset that is being loaded. `failed`: those whose last first load was to no avail.
    """

    def __init__(self, command: Sequence[str], data_dir: Path, settings: Callable[[], Settings]) -> None:
        self._command = tuple(command)
        self._data_dir = data_dir
        self._settings = settings
        self._asked: set[str] = set()
        self._turn = asyncio.Lock()
        self.loading: str | None = None
        self.failed: set[str] = set()

    def awaits(self, name: str) -> bool:
        """Whether a dataset is being loaded or has its turn yet to come."""
        return name == self.loading or name in self._asked

    def ask(self, names: Collection[str]) -> None:
        """Those of the datasets that are to be loaded will be, by whoever runs; once, however often it was asked."""
        self._asked |= {name for name in names if self._is_to_load(name)}

    async def run(self) -> None:
        """Until nothing is asked for, in the order of the configuration."""
        async with self._turn:
            while (name := self._next()) is not None:
                self.loading = name
                self._asked.discard(name)
                try:
                    await self._load(name)
                finally:
                    self.loading = None

    def _next(self) -> str | None:
        self._asked = {name for name in self._asked if self._is_to_load(name)}
        return next((name for name in self._settings().datasets if name in self._asked), None)

    def _is_to_load(self, name: str) -> bool:
        dataset = self._settings().datasets.get(name)
        try:
            return dataset is not None and dataset.source is not None and live_version(self._data_dir, name) is None
        except OSError as error:
            log.error("dataset %s: its pointer cannot be read: %s", name, error.strerror)
            return False

    async def _load(self, name: str) -> None:
        self.failed.discard(name)
        try:
            child = await asyncio.create_subprocess_exec(*self._command, name, stdin=DEVNULL, start_new_session=True)
        except OSError as error:
            log.error("dataset %s could not be loaded: no process: %s", name, error.strerror or error)
            self.failed.add(name)
            return
        try:  # its session is its own: Ctrl-C is the supervisor's, which then ends it
            code = await child.wait()
        finally:
            if child.returncode is None:
                await _end(child, name)
        if code != 0:
            log.error("dataset %s could not be loaded; mend it and run: havok load %s", name, name)
            self.failed.add(name)


async def _end(child: Process, name: str) -> None:
    """It is told to, and made to: a load that stands still does not keep a node from ending."""
    child.terminate()
    try:
        async with asyncio.timeout(END_S_MAX):
            await child.wait()
    except TimeoutError:
        log.warning("the first load of %s (pid %d) did not end when it should; it is killed", name, child.pid)
        child.kill()
        await child.wait()


def changed_datasets(before: Settings, after: Settings) -> set[str]:
    """Those that are new or set otherwise."""
    return {name for name, dataset in after.datasets.items() if before.datasets.get(name) != dataset}
