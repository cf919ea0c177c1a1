"""`control.db` (SQLite): what people changed on a running node, and what was done when.

Rule: one transaction a use, nothing is kept open; every use raises NodeError when the file is
no database or cannot be read or written. What the tables mean is their users' business.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from havok.errors import NodeError
from havok.layout import control_db

_TABLES = (
    "CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, document TEXT NOT NULL, added TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS scales (compartment TEXT PRIMARY KEY, scale BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, "
    "actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL)",
)


class ControlDatabase:
    def __init__(self, data_dir: Path) -> None:
        """Makes what is missing."""
        self._path = control_db(data_dir)
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # nobody else's to read
        except OSError as error:
            raise self._refusal(error.strerror) from None
        with self.transaction() as database:
            database.execute("PRAGMA journal_mode=WAL")
            for table in _TABLES:
                database.execute(table)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise self._refusal(error) from None

    def _refusal(self, reason: object) -> NodeError:
        return NodeError(
            f"{self._path}: {reason}; what was changed at run time is kept in it: mend or restore it, "
            f"or move it away and make the changes again"
        )
