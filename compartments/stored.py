"""Services that people added to a running node, kept in `control.db` (SQLite).

Rule: what is stored is the TOML as it was given, so that it is read and checked each time
by the same code as the file's.
"""

import os
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from havok.config import syntax
from havok.errors import NodeError
from havok.layout import control_db

_SCHEMA = "CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, document TEXT NOT NULL, added TEXT NOT NULL)"


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

    def __init__(self, data_dir: Path) -> None:
        self._path = control_db(data_dir)
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
        except OSError as error:
            raise self._refusal(error.strerror) from None
        with self._open() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _refusal(self, reason: object) -> NodeError:
        return NodeError(
            f"{self._path}: {reason}; the services added at run time are kept in it: mend or restore it, "
            f"or move it away and add them again"
        )

    def read(self) -> dict[str, Any]:
        """Name → its table."""
        with self._open() as database:
            rows = database.execute("SELECT name, document FROM services ORDER BY name").fetchall()
        return {name: tomllib.loads(document)["services"][name] for name, document in rows}

    def add(self, document: str) -> None:
        """Each service of the document, replacing one of the same name."""
        names = list(parse(document))
        with self._open() as database:
            database.executemany(
                "INSERT OR REPLACE INTO services VALUES (?, ?, datetime('now'))", [(name, document) for name in names]
            )

    def remove(self, name: str) -> bool:
        """False when it was not stored here."""
        with self._open() as database:
            return database.execute("DELETE FROM services WHERE name = ?", (name,)).rowcount > 0
