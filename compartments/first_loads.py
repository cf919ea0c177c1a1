"""First loads: what has a source and no version yet is loaded without being asked for.

Rule: one after another, each in a process of its own that ends with the supervisor; one that
failed is a person's to mend, and is tried again only where that was asked for or the dataset's
settings changed. A person's load of the same dataset and this one wait for each other.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from havok.layout import live_version
from havok.settings import Settings

log = logging.getLogger(__name__)


class FirstLoads:
    """`command` + [dataset] loads a dataset, if it has no version still."""

    def __init__(self, command: Sequence[str], data_dir: Path, settings: Callable[[], Settings]) -> None:
        self._command = tuple(command)
        self._data_dir = data_dir
        self._settings = settings
        self._turn = asyncio.Lock()
        self.loading: str | None = None  # the dataset

    async def run(self, names: Collection[str]) -> None:
        """Those of the datasets that are to be loaded, in the order of the configuration."""
        async with self._turn:
            for name, dataset in self._settings().datasets.items():
                if name in names and dataset.source is not None and live_version(self._data_dir, name) is None:
                    await self._load(name)

    async def _load(self, name: str) -> None:
        child = await asyncio.create_subprocess_exec(
            *self._command, name, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )  # a session of its own: Ctrl-C is the supervisor's, which then ends it
        self.loading = name
        try:
            code = await child.wait()
        finally:
            self.loading = None
            if child.returncode is None:
                child.terminate()
                await child.wait()  # it removes what it was building
        if code != 0:
            log.error("dataset %s could not be loaded; mend it and run: havok load %s", name, name)


def changed(before: Settings, after: Settings) -> set[str]:
    """The datasets that are new or set otherwise."""
    return {name for name, dataset in after.datasets.items() if before.datasets.get(name) != dataset}
