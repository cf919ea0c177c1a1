"""Services that people added to a running node, kept in `control.db` (SQLite).

Rule: what is stored is the TOML as it was given, so that it is read and checked each time
by the same code as the file's.
"""

import os
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

from havok.errors import NodeError
from havok.layout import control_db

_SCHEMA = "CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, document TEXT NOT NULL, added TEXT NOT NULL)"


def parse(document: str) -> dict[str, Any]:
    """TOML of [services.NAME] tables → name → table. Raises NodeError."""
    try:
        tables = tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        raise NodeError(f"not TOML: {error}") from None
    services = tables.pop("services", None)
    if tables or not isinstance(services, dict) or not services:
        raise NodeError("the file may only hold [services.NAME] tables; everything else belongs in havok.toml")
    return services


class StoredServices:
    def __init__(self, data_dir: Path) -> None:
        self._path = control_db(data_dir)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_SCHEMA)

    def read(self) -> dict[str, Any]:
        """Name → its table."""
        with closing(sqlite3.connect(self._path)) as database:
            rows = database.execute("SELECT name, document FROM services ORDER BY name").fetchall()
        return {name: tomllib.loads(document)["services"][name] for name, document in rows}

    def add(self, document: str) -> None:
        """Each service of the document, replacing one of the same name."""
        names = list(parse(document))
        with closing(sqlite3.connect(self._path)) as database, database:
            database.executemany(
                "INSERT OR REPLACE INTO services VALUES (?, ?, datetime('now'))", [(name, document) for name in names]
            )

    def remove(self, name: str) -> bool:
        """False when it was not stored here."""
        with closing(sqlite3.connect(self._path)) as database, database:
            return database.execute("DELETE FROM services WHERE name = ?", (name,)).rowcount > 0
