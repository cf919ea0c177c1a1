"""A SQL service as its callers see it: pages, and the cursors between them."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from engine.forms.media import JSON
from engine.http.answering import Running
from engine.http.call import Call
from engine.plan import Select
from engine.queries.select_program import CompiledSelect, SelectProgram
from engine.snapshot import Snapshot
from engine.sql.planner import plan_sql
from havok.settings import ServiceSettings
from tests.engine.draws import Draws

PAGES_MAX = 10_000
Position = list[Any]

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Service:
    """A compiled statement, for any versions of its datasets. Raises PlanError."""

    def __init__(self, sql: str, snapshots: Mapping[str, Snapshot]) -> None:
        settings = ServiceSettings(kind="sql", compartment="c", sql=sql)
        plan = plan_sql("s", settings, {name: snapshot.manifest for name, snapshot in snapshots.items()})
        assert isinstance(plan.access, Select)
        self.query = plan.access.query
        self._compiled = CompiledSelect(plan, plan.access)

    @contextmanager
    def on(self, snapshots: Mapping[str, Snapshot]) -> Iterator["Pages"]:
        program = SelectProgram(self._compiled, snapshots)
        yield Pages(program)
        program.close()


class Pages:
    def __init__(self, program: SelectProgram) -> None:
        self._program = program

    def start(self, media: str = JSON, **given: str) -> Running:
        return self._program.start(Call(dict(given), media, texts=True))

    def page(self, cursor: str | None = None, **values: Any) -> tuple[list[dict[str, Any]], str | None]:
        """(rows, where the next begins). Raises a HavokError."""
        given = {name: str(value) for name, value in values.items()}
        given |= {} if cursor is None else {"cursor": cursor}
        running = self.start(**given)
        try:
            body = b""
            while not running.done:
                body += running.step(0)
        finally:
            running.close()
        found = _decode(body)
        return found["data"], found.get("next")

    def rest(self, cursor: str | None, size: Callable[[], int]) -> list[dict[str, Any]]:
        """The rows from there on, in pages of such sizes."""
        found, cursor = self.page(cursor, size=size())
        for _ in range(PAGES_MAX):
            if cursor is None:
                return found
            rows, cursor = self.page(cursor, size=size())
            assert rows or cursor is None, "only a last page is empty"
            found += rows
        raise AssertionError("the pages have no end")


def opened(cursor: str) -> Position:
    """What is in a cursor: marks of the service, the versions and the parameters, then a position."""
    found: Position = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return found


def closed(parts: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).rstrip(b"=").decode()


_ODD = (
    None, 0, -1, 1, 1 << 63, 1.5, float("nan"), float("inf"), True, "", "a", "x" * 600, b"", b"a\0", b"\x80",
    b"\xff" * 511, b"x" * 600, "2013-01-01", "2013-01-01T05:00:00", "2013-01-01T05:00:00Z", "0.5", "NaN", "sNaN",
    "Infinity", "1E+999999", "123456789012345678901234567890", [], {}, "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00",
)  # fmt: skip


def forged(draws: Draws, cursor: str) -> str:
    """Another text that looks like a cursor of the same service, or once did."""
    form = draws.below(8)
    if form == 0:
        return draws.choice(("", "=", "AAAA", "é", "\0", "a" * 5000, "!!!!", cursor * 2, cursor + "="))
    if form == 1:
        return cursor[: draws.below(len(cursor))]
    if form == 2:
        at = draws.below(len(cursor))
        return cursor[:at] + draws.choice("Aaz09-_+/é ") + cursor[at + 1 :]
    parts = opened(cursor)
    if form == 3:
        del parts[draws.below(len(parts))]
    elif form == 4:
        parts.append(draws.choice(_ODD))
    elif form == 5:
        parts[draws.below(len(parts))] = draws.choice(_ODD)
    else:  # a position that was never told
        parts[3 + draws.below(len(parts) - 3)] = draws.choice(_ODD)
    return closed(parts)
