"""The configuration a command was pointed at, and what stands in it.

Rule: a fault in one entry must not keep a person from working on another: a command asks
for the dataset or service it needs, and is refused only if that one is missing or faulty.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from havok.config import Loaded, read_settings
from havok.errors import ConfigError, Fault, OperatorError
from havok.layout import control_db
from havok.settings import DatasetSettings, ServiceSettings, Settings
from havok.typed import nearest

if TYPE_CHECKING:
    from compartments.people.stored import StoredServices

DEFAULT_FILE = "havok.toml"
VARIABLE = "HAVOK_CONFIG"


def config_path(*given: Path | None) -> Path:
    """The first that was given, else $HAVOK_CONFIG, else ./havok.toml."""
    for path in given:
        if path is not None:
            return path
    return Path(os.environ.get(VARIABLE) or DEFAULT_FILE)


class Workplace:
    def __init__(self, config: Path) -> None:
        """Raises ConfigError when the file cannot be read at all; other faults are kept in `faults`."""
        self.config = config
        loaded: Loaded = read_settings(config)
        unreadable = [fault for fault in loaded.faults if not fault.key and fault.file == str(config)]
        if unreadable:
            raise ConfigError(unreadable)
        self._loaded = loaded
        self.data_dir = loaded.data_dir
        self.stored = self._stored()
        if self.stored:
            self._loaded = read_settings(config, self.stored)

    def _stored(self) -> Mapping[str, Mapping[str, Any]]:
        """Services that were added to the node at run time."""
        if not control_db(self.data_dir).exists():
            return {}
        return self._database_of_services().read()

    def take_back(self, name: str) -> bool:
        """Forgets a service that was added, on a node that is not running; False when there is none."""
        return name in self.stored and self._database_of_services().remove(name)

    def _database_of_services(self) -> "StoredServices":
        from compartments.people.database import ControlDatabase
        from compartments.people.stored import StoredServices

        return StoredServices(ControlDatabase(self.data_dir))

    @property
    def settings(self) -> Settings:
        return self._loaded.settings

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self._loaded.faults

    @property
    def config_dir(self) -> Path:
        return self._loaded.root

    def dataset(self, name: str) -> DatasetSettings:
        """Raises ConfigError when it is faulty, OperatorError when there is none of that name."""
        found = self.settings.datasets.get(name)
        return found if found is not None else self._refuse("dataset", name, list(self.settings.datasets))

    def service(self, name: str) -> ServiceSettings:
        """Raises ConfigError when it is faulty, OperatorError when there is none of that name."""
        found = self.settings.services.get(name)
        return found if found is not None else self._refuse("service", name, list(self.settings.services))

    def _refuse(self, what: str, name: str, known: list[str]) -> Any:
        own = [fault for fault in self.faults if f"{fault.key}.".startswith(f"{what}s.{name}.")]
        if own:
            raise ConfigError(own)
        if self.faults:
            raise ConfigError(list(self.faults))
        meant = nearest(name, known)
        advice = f"did you mean {meant}?" if meant else f"there are: {', '.join(sorted(known)) or 'none'}"
        raise OperatorError(f"{self.config} has no {what} {name!r}; {advice}")
