"""Routes of SQL services over small snapshots, made with lmdb alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.front import plan_service
from engine.http.route import SqlRoute
from engine.plan import Plan, Select
from engine.queries.select_program import CompiledSelect, SelectProgram
from engine.snapshot import Snapshot, open_snapshot
from havok.keys import KeyKind
from havok.settings import ServiceSettings
from tests.engine.making import DATE, Row, write_version

KEY: Sequence[tuple[str, KeyKind]] = (("k", "string"), ("n", "int"))
COLUMNS = (("v", "BIGINT"), ("text", "VARCHAR"))


def rows_of(count: int, text: str = "x") -> list[Row]:
    """`count` rows of one k; v goes up and down."""
    return [(("a", n), {"k": "a", "n": n, "v": n * 7 % 1000, "text": text}) for n in range(count)]


def write_rows(directory: Path, rows: Sequence[Row], **options: str) -> Path:
    return write_version(directory, KEY, rows, columns=COLUMNS, dataset="t", **options)


def plan_of(sql: str, *snapshots: Snapshot, **settings: object) -> Plan:
    table = {"kind": "sql", "sql": sql, "compartment": "travel-high", **settings}
    manifests = {snapshot.dataset: snapshot.manifest for snapshot in snapshots}
    return plan_service("q", msgspec.convert(table, ServiceSettings), manifests)


def program_of(sql: str, *snapshots: Snapshot, **settings: object) -> SelectProgram:
    """With leases of its own."""
    plan = plan_of(sql, *snapshots, **settings)
    assert isinstance(plan.access, Select)
    return SelectProgram(CompiledSelect(plan, plan.access), {snapshot.dataset: snapshot for snapshot in snapshots})


def route_of(sql: str, *snapshots: Snapshot, **settings: object) -> SqlRoute:
    return SqlRoute(program_of(sql, *snapshots, **settings), DATE)


@contextmanager
def opened(directory: Path) -> Iterator[Snapshot]:
    """Each file can be open once in a process."""
    snapshot = open_snapshot(directory)
    try:
        yield snapshot
    finally:
        snapshot.release()
