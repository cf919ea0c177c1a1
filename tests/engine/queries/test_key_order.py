"""Sorting by parts of the key: when it is done, and that it answers as sorting decoded rows does."""

from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.queries.key_order import key_parts
from engine.queries.query_program import CompiledQuery
from engine.snapshot import Snapshot, open_snapshot
from engine.sql.front import compile_sql
from tests.engine.making import write_version

LONG = "x" * 600  # its keys are hashed
NUMBERS = (-3, 0, 5, 2**40, -(2**40), 7, 7000)
DAYS = (date(2013, 1, 1), date(2013, 1, 2))
Opened = dict[str, Snapshot]


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Keys are (k, d, n, b); many rows have the same n, and no two the same `at`."""
    rows = [
        ((k, d, n, b), {"k": k, "d": d.isoformat(), "n": n, "b": b, "at": at, "f": None if at % 3 else 0.5})
        for at, (k, d, n, b) in enumerate(product(("a", "b", LONG), DAYS, NUMBERS, (False, True)))
    ]
    columns = (("at", "BIGINT"), ("f", "DOUBLE"))
    key: list[Any] = [("k", "string"), ("d", "date"), ("n", "int"), ("b", "bool")]
    directory: Path = tmp_path_factory.mktemp("versions") / "v"
    opened = open_snapshot(write_version(directory, key, rows, columns=columns, dataset="t"))
    yield {"t": opened}
    opened.release()


def compiled(snapshots: Opened, text: str) -> CompiledQuery:
    found = compile_sql(text, {name: snapshot.manifest for name, snapshot in snapshots.items()}, {})
    return CompiledQuery(found.query, "q", [])


def pages(query: CompiledQuery, snapshots: Opened) -> list[list[dict[str, Any]]]:
    """Page after page, until there is no position to go on from."""
    select = query.bind(snapshots, 1000)
    found, after = [], None
    while True:
        rows: list[Any] = []
        reading = select(after=after)
        try:
            while True:
                rows += next(reading)
        except StopIteration as end:
            after = end.value
        found.append(msgspec.json.decode(query.answer.json(rows)))
        if after is None:
            return found


@pytest.mark.parametrize(
    ("tail", "parts"),
    [
        ("k = 'a' ORDER BY n LIMIT 3", [(9, 1)]),
        ("k = 'a' ORDER BY b DESC, n, d LIMIT 3", [(1, 0), (9, 1), (17, 9)]),
        ("k >= 'a' ORDER BY n LIMIT 3", [(9, 1)]),
        ("k >= 'a' ORDER BY n, k LIMIT 3", None),  # a string has no fixed place
        ("k = 'a' ORDER BY at LIMIT 3", None),  # is not in the key
        ("k = 'a' ORDER BY n + 1 LIMIT 3", None),
        ("k = 'a' AND at > 1 ORDER BY n LIMIT 3", None),  # a filter reads the row
    ],
)
def test_when_it_is_done(snapshots: Opened, tail: str, parts: list[tuple[int, int]] | None) -> None:
    query = compiled(snapshots, f"SELECT at FROM t WHERE {tail}")
    assert key_parts(query.query) == parts
    assert ("scan.entries(" in query.source.text) is (parts is not None)


@pytest.mark.parametrize("where", ["k = 'a'", "k IN ('a', 'b')", "k > 'a'", "k >= 'a'", "k = 'none'"])
@pytest.mark.parametrize("order", ["n", "n DESC", "b, n DESC", "d DESC, n", "n DESC, d, b"])
@pytest.mark.parametrize("limit", [1, 5, 28, 1000])
def test_pages_are_those_of_decoded_rows(snapshots: Opened, where: str, order: str, limit: int) -> None:
    tail = f"FROM t WHERE {where}"
    by_key = compiled(snapshots, f"SELECT at, k, n, f {tail} ORDER BY {order} LIMIT {limit}")
    by_row = compiled(snapshots, f"SELECT at, k, n, f {tail} AND at >= 0 ORDER BY {order} LIMIT {limit}")
    assert "scan.entries(" in by_key.source.text
    assert "scan.entries(" not in by_row.source.text
    assert pages(by_key, snapshots) == pages(by_row, snapshots)


def test_an_offset_is_passed_over_once(snapshots: Opened) -> None:
    query = compiled(snapshots, "SELECT n FROM t WHERE k = 'a' ORDER BY n DESC LIMIT 10 OFFSET 8")
    found = [row["n"] for page in pages(query, snapshots) for row in page]
    assert found == sorted([n for n in NUMBERS for _ in range(4)], reverse=True)[8:]
