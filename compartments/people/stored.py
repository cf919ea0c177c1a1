"""Services that people added to a running node, kept in `control.db` (SQLite).

Rule: what is stored is the TOML as it was given, so that it is read and checked each time
by the same code as the file's.
"""

import tomllib
from typing import Any

from compartments.people.database import ControlDatabase
from havok.config import syntax
from havok.errors import NodeError


def parse(document: str) -> dict[str, Any]:
    """TOML of [services.NAME] tables → name → table. Raises NodeError."""
    try:
        tables = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise NodeError(f"not TOML: {syntax(str(error))}") from None
    services = tables.pop("services", None)
    if tables or not isinstance(services, dict) or not services:
        raise NodeError("the file may only hold [services.NAME] tables; everything else belongs in havok.toml")
    return services


class StoredServices:
    """Every use raises NodeError when the file is no database or cannot be read or written."""

    def __init__(self, database: ControlDatabase) -> None:
        self._database = database

    def read(self) -> dict[str, Any]:
        """Name → its table."""
        with self._database.transaction() as database:
            rows = database.execute("SELECT name, document FROM services ORDER BY name").fetchall()
        return {name: tomllib.loads(document)["services"][name] for name, document in rows}

    def add(self, document: str) -> None:
        """Each service of the document, replacing one of the same name."""
        names = list(parse(document))
        with self._database.transaction() as database:
            database.executemany(
                "INSERT OR REPLACE INTO services VALUES (?, ?, datetime('now'))", [(name, document) for name in names]
            )

    def remove(self, name: str) -> bool:
        """False when it was not stored here."""
        with self._database.transaction() as database:
            return database.execute("DELETE FROM services WHERE name = ?", (name,)).rowcount > 0
