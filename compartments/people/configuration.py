"""The settings in force: those of the file, of the services added and of the scales set at run time.

Rule: nothing is in force that was not read whole and found sound; what is refused changes
nothing and is remembered, for the status.
"""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from compartments.people.database import ControlDatabase
from compartments.people.scales import Scale, StoredScales, scaled, wanted
from compartments.people.stored import StoredServices, parse
from compartments.versions.planning import Planning, service_fault
from havok.config import Loaded, read_settings
from havok.errors import ConfigError, Fault, NodeError
from havok.manifest import Manifest
from havok.messages import ScaleRequest
from havok.settings import Settings
from havok.typed import nearest

log = logging.getLogger(__name__)

NAMED_MAX = 20  # of each kind, in a line of the log
_RESTART_KEYS = ("listen", "admin", "data_dir", "name")  # of [node]; processes were started with them


class Configuration:
    """`settings` are in force. Changes are read first (`changed`, `with_services`), then `adopt`ed."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError with every fault of the file."""
        self._path = path
        self._loaded = _sound(read_settings(path))
        self.data_dir = self._loaded.data_dir
        self.refused: tuple[Fault, ...] = ()
        self._stored: StoredServices | None = None
        self._scales: dict[str, Scale] = {}
        self._settings = self._loaded.settings

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def stored(self) -> StoredServices:
        assert self._stored is not None, "the data directory is not claimed yet"
        return self._stored

    def open_stored(self) -> None:
        """Once the data directory is ours: its services join. Raises ConfigError."""
        self.database = ControlDatabase(self.data_dir)
        self._stored = StoredServices(self.database)
        self._stored_scales = StoredScales(self.database)
        self._scales = self._stored_scales.read()
        self._loaded = _sound(read_settings(self._path, self._stored.read()))
        self._settings = scaled(self._loaded.settings, self._scales)

    def adopt(self, loaded: Loaded) -> str:
        """What is other than before."""
        said = changes(self._loaded.settings, loaded.settings)
        log.info("configuration: %s", said)
        self._loaded = loaded
        self._settings = scaled(loaded.settings, self._scales)
        self.refused = ()
        return said

    def refuse(self, detail: str) -> None:
        """What the files ask for cannot be had."""
        self.refused = (Fault(str(self._path), "", detail),)

    def scale_of(self, compartment: str) -> dict[str, float]:
        """What people set at run time, over the file."""
        found: dict[str, float] = msgspec.to_builtins(self._scales.get(compartment, Scale()))
        return found

    def changed(self) -> Loaded:
        """As files and database are now. Raises ConfigError, and `refused` says why."""
        try:
            return self._read(self.stored.read())
        except ConfigError as error:
            self.refused = tuple(error.faults)
            raise

    def _read(self, stored: Mapping[str, Mapping[str, Any]]) -> Loaded:
        """The file as it is now and these services, when a running node can adopt them. Raises ConfigError."""
        loaded = _sound(read_settings(self._path, stored))
        fixed = self._fixed(loaded)
        if fixed:
            raise ConfigError(fixed)
        return loaded

    def _fixed(self, loaded: Loaded) -> list[Fault]:
        """Keys that are another than when the node was started, and must not be."""
        old, new = self.settings.node, loaded.settings.node
        return [
            Fault(str(self._path), f"node.{key}", "cannot change while running; stop havok and start it again")
            for key in _RESTART_KEYS
            if getattr(old, key) != getattr(new, key)
        ]

    def with_services(self, document: str, file: str, live: dict[str, Manifest]) -> Loaded:
        """With the services of a TOML document, checked and compiled on the live versions.

        Raises NodeError for what is no such document, ConfigError with every fault; nothing is stored yet.
        """
        stored, new = self.stored.read(), parse(document)
        faults = [
            Fault(file, f"services.{name}", "stands in the configuration file already; change it there and reload")
            for name in new
            if name in self.settings.services and name not in stored
        ]
        for fault in faults:
            del new[fault.key.removeprefix("services.")]
        kept = {name: table for name, table in stored.items() if name not in new}
        loaded = read_settings(self._path, kept, trial=(file, new))
        faults += [*loaded.faults, *(self._fixed(loaded) if not loaded.faults else ())]
        for name in (name for name in new if name in loaded.settings.services):
            refusal = Planning().deployment(loaded.settings, name, live).refusal
            if refusal is not None and refusal.code == "bad_plan":
                faults.append(service_fault(file, loaded.settings, name, refusal.detail))
        if faults:
            raise ConfigError(faults)
        return loaded

    def scale(self, request: ScaleRequest) -> bool:
        """Sets another scale, which is kept; False when it holds already. Raises NodeError."""
        scale = wanted(self._loaded.settings, self._scales, request)
        if scale == self._scales.get(request.compartment, Scale()):
            return False
        self._stored_scales.write(request.compartment, scale)
        self._scales = self._stored_scales.read()
        self._settings = scaled(self._loaded.settings, self._scales)
        return True

    def without_service(self, name: str) -> Loaded:
        """Without one added at run time. Raises NodeError when it was not, ConfigError."""
        stored = self.stored.read()
        if stored.pop(name, None) is None:
            raise NodeError(not_added(name, self.settings.services, stored))
        return self._read(stored)


def changes(before: Settings, after: Settings) -> str:
    """What is another now, by name."""
    parts = []
    for section in ("services", "datasets", "compartments"):
        old, new = getattr(before, section), getattr(after, section)
        for verb, names in (
            ("added", new.keys() - old.keys()),
            ("changed", {name for name in new.keys() & old.keys() if new[name] != old[name]}),
            ("removed", old.keys() - new.keys()),
        ):
            listed = sorted(names)
            more = f" and {len(listed) - NAMED_MAX} more" if len(listed) > NAMED_MAX else ""
            if listed:
                noun = section if len(listed) > 1 else section[:-1]
                parts.append(f"{noun} {', '.join(listed[:NAMED_MAX])}{more} {verb}")
    return "; ".join(parts) or "no service, dataset or compartment is another"


def not_added(name: str, services: Collection[str], added: Collection[str]) -> str:
    """Why a service cannot be taken back."""
    if name in services:
        return f"service {name} was not added at run time: it stands in the configuration file; remove it there"
    meant = nearest(name, added)
    return f"there is no service {name!r}; " + (
        f"did you mean {meant}?" if meant else f"added at run time: {', '.join(sorted(added)) or 'none'}"
    )


def _sound(loaded: Loaded) -> Loaded:
    if loaded.faults:
        raise ConfigError(list(loaded.faults))
    return loaded
