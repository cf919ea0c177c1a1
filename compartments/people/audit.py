"""Who changed what on a node, when and why: people's commands and the node's own moves.

Rule: append only, oldest forgotten first; a log that cannot be written never holds up what it
tells of. Times are for people: wall clock, UTC.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from compartments.people.database import ControlDatabase
from havok.errors import NodeError

log = logging.getLogger(__name__)

NODE, OPERATOR = "node", "operator"
KEPT_MAX = 100_000  # some 20 MB; a busy node's week


class Audited(msgspec.Struct, frozen=True):
    """`actor`: operator or node. `time`: RFC 3339."""

    time: str
    actor: str
    action: str
    target: str
    reason: str


class Audit:
    def __init__(self, database: ControlDatabase) -> None:
        self._database = database

    def note(self, actor: str, action: str, target: str, reason: str = "") -> None:
        self.note_all([(actor, action, target, reason)])

    def note_all(self, entries: Sequence[tuple[str, str, str, str]]) -> None:
        """(actor, action, target, reason) of each, in one transaction. Blocks for as long as a disk does."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            with self._database.transaction() as database:
                database.executemany(
                    "INSERT INTO audit (time, actor, action, target, reason) VALUES (?, ?, ?, ?, ?)",
                    [(now, *entry) for entry in entries],
                )
                database.execute("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?", (KEPT_MAX,))
        except NodeError as error:
            log.error("not in the audit log: %s: %s", entries, error.detail)

    def newest(self, count: int) -> list[Audited]:
        """Newest first. Raises NodeError."""
        with self._database.transaction() as database:
            rows = database.execute(
                "SELECT time, actor, action, target, reason FROM audit ORDER BY number DESC LIMIT ?", (count,)
            ).fetchall()
        return [Audited(*row) for row in rows]
