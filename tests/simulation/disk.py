"""What outlives every process of a simulated node: pointers, versions, roster, epoch, configuration.

Rule: whole or not at all, as renames are. The names are those of the functions it stands for.
"""

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from compartments.processes.roster import Entry, Roster
from compartments.versions.live import Choice
from havok.keys import KeyColumn
from havok.manifest import Column, Manifest, version_id
from havok.messages import PROTOCOL
from havok.settings import Settings

_FIRST = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


class Disk:
    def __init__(self, data_dir: Path, settings: Settings, is_there: Callable[[Entry], bool]) -> None:
        self.data_dir = data_dir
        self.settings = settings  # of the configuration file
        self._is_there = is_there
        self.pointers: dict[str, str] = {}
        self.placed: dict[str, list[str]] = {}
        self.damaged: set[str] = set()
        self.epoch = 0
        self.roster: Roster | None = None

    def place(self, dataset: str) -> str:
        """A new version; its id."""
        found = self.placed.setdefault(dataset, [])
        found.append(version_id(_FIRST + datetime.timedelta(seconds=len(found)), f"{len(found):08x}"))
        return found[-1]

    def manifest(self, dataset: str, version: str) -> Manifest:
        return Manifest(
            dataset=dataset, version=version, created="", columns=(Column("id", "VARCHAR"), Column("v", "VARCHAR")),
            key=(KeyColumn("id", "string"),), rows=1, files={}, source="",
        )  # fmt: skip

    # -- in place of compartments.versions.live, .rollout, .claim, .roster, .takeover ---------------

    def live_version(self, _data_dir: Path, dataset: str) -> str | None:
        return self.pointers.get(dataset)

    def choose(self, _data_dir: Path, dataset: str, damaged: dict[str, str]) -> Choice:
        pointer = self.pointers.get(dataset)
        if pointer is None:
            return Choice(None, None)
        good = [v for v in reversed(self.placed[dataset]) if v <= pointer and v not in damaged][:2]
        if not good:
            return Choice(None, pointer, "all are damaged")
        fault = None if good[0] == pointer else f"serving {good[0]} instead"
        return Choice(self.manifest(dataset, good[0]), pointer, fault, good[1] if len(good) > 1 else None)

    def read_manifest(self, path: Path) -> Manifest:
        return self.manifest(path.parent.name, path.name)

    def next_epoch(self, _data_dir: Path) -> int:
        self.epoch += 1
        return self.epoch

    def write_roster(self, _data_dir: Path, processes: Iterable[Entry]) -> None:
        self.roster = Roster(PROTOCOL, "", tuple(processes))

    def left_behind(self, _data_dir: Path) -> Roster | None:
        if self.roster is None:
            return None
        living = tuple(entry for entry in self.roster.processes if self._is_there(entry))
        return msgspec.structs.replace(self.roster, processes=living) if living else None


class Loaded(msgspec.Struct, frozen=True):
    settings: Settings


class Configuration:
    """In place of `compartments.people.configuration`'s: the file is `Disk.settings`."""

    database: Any = None
    refused = ()

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.data_dir = disk.data_dir
        self.settings = disk.settings

    def open_stored(self) -> None:
        self.settings = self._disk.settings

    def changed(self) -> Loaded:
        return Loaded(self._disk.settings)

    def adopt(self, loaded: Loaded) -> None:
        self.settings = loaded.settings
