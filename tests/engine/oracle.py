"""The oracle: tables as the engine's snapshots, and in DuckDB as their cold twins have them.

Rule: tables are loaded by the real loader. What is asked of both sides must be answered by
both alike, or be an error to both.
"""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import msgspec

from engine.queries.query_program import CompiledQuery
from engine.snapshot import Snapshot, open_snapshot
from engine.sql.front import Found, compile_sql
from havok.errors import HavokError
from havok.manifest import Manifest
from havok.settings import DatasetSettings, LoaderSettings
from loader import blocks, candidate, publish, render
from tests.engine.tables import Table

ROWS_MAX = 100_000
Shown = tuple[list[tuple[str, str]], list[Any]]  # names and types, rows

_LOADER = LoaderSettings(memory_mb=256, threads=1)


@contextmanager
def without_blocks(*snapshots: Snapshot) -> Iterator[None]:
    """As if their versions had none, which those of an earlier Havok have not."""
    manifests = [snapshot.manifest for snapshot in snapshots]
    try:
        for snapshot in snapshots:
            snapshot.manifest = msgspec.structs.replace(snapshot.manifest, blocks=None)
        yield
    finally:
        for snapshot, manifest in zip(snapshots, manifests, strict=True):
            snapshot.manifest = manifest


class Oracle:
    """Holds the tables that were loaded last; `close` lets go of them."""

    def __init__(self, block_rows: int = 5) -> None:
        """Blocks are short, so that a range goes over several."""
        self._block_rows = block_rows
        self.db = duckdb.connect(config={"threads": 1})
        self.db.execute("SET TimeZone = 'UTC'")
        self._directory = Path(tempfile.mkdtemp(prefix="oracle-"))
        self._loads = 0
        self.snapshots: dict[str, Snapshot] = {}

    @property
    def manifests(self) -> dict[str, Manifest]:
        return {name: snapshot.manifest for name, snapshot in self.snapshots.items()}

    def load(self, *tables: Table) -> None:
        """Instead of what was there."""
        self.release()
        for table in tables:
            self.snapshots[table.name], twin = self.version(table)
            self.db.execute(f"CREATE OR REPLACE TABLE {table.name} AS SELECT * FROM read_parquet('{twin}')")

    def version(self, table: Table) -> tuple[Snapshot, Path]:
        """A version of a table, for whoever releases it, and its twin."""
        return self.built(table.name, table.select, DatasetSettings(key=table.key, indexes=dict(table.indexes)))

    def built(self, name: str, select: str, settings: DatasetSettings) -> tuple[Snapshot, Path]:
        self._loads += 1
        build = self._directory / f"{name}{self._loads}"
        build.mkdir()
        source = build / "source.parquet"
        self.db.execute(f"COPY ({select}) TO '{source}' (FORMAT parquet)")
        order = candidate.Order(
            dataset=name, settings=settings, loader=_LOADER, source=str(source), config_dir=build, mode="full",
            live_dir=None, live=None,
        )  # fmt: skip
        with patch.object(blocks, "BLOCK_ROWS", self._block_rows):
            built = candidate.build(order, build, candidate.Silent())
        version = f"20261123T{self._loads // 3600 % 24:02}{self._loads // 60 % 60:02}{self._loads % 60:02}Z-1a2b3c4d"
        candidate.write_manifest(order, built, version, publish.version_time(version), build)
        return open_snapshot(build), build / "rows.parquet"

    def release(self) -> None:
        for snapshot in self.snapshots.values():
            snapshot.release()
        self.snapshots = {}
        for build in self._directory.iterdir():
            shutil.rmtree(build)

    def close(self) -> None:
        self.release()
        self.db.close()
        shutil.rmtree(self._directory)

    def ours(self, text: str) -> Shown:
        found = compile_sql(text, self.manifests, {})
        columns = [(item.name, item.value.type) for item in found.query.outputs]
        return columns, self.rows(found, ())

    def rows(self, found: Found, values: Sequence[Any], rows_max: int = ROWS_MAX) -> list[Any]:
        """By blocks where there are some; rows say the same."""
        answers = self._answers(found, values, rows_max)
        if any(snapshot.manifest.blocks for snapshot in self.snapshots.values()):
            with without_blocks(*self.snapshots.values()):
                by_row = self._answers(found, values, rows_max)
            assert repr(by_row) == repr(answers), f"rows differ from blocks: {found.query.sql}"
        return answers

    def _answers(self, found: Found, values: Sequence[Any], rows_max: int) -> list[Any]:
        compiled = CompiledQuery(found.query, "q", list(found.params))
        select = compiled.bind(self.snapshots, rows_max)
        rows = [row for part in select(*values) for row in part]
        decoded: list[Any] = msgspec.json.decode(compiled.answer.json(rows))
        return decoded

    def theirs(self, text: str) -> Shown:
        """The same from DuckDB, rendered as the loader renders rows."""
        relation = self.db.sql(text)
        columns = list(zip(relation.columns, relation.types, strict=True))
        rows = self.db.execute(f"SELECT {render.row_json(columns)} FROM ({text})").fetchall()
        shown = [(name, str(kind).replace(", ", ",")) for name, kind in columns]
        return shown, [msgspec.json.decode(row[0]) for row in rows]

    def compare(self, text: str, *, ordered: bool) -> str:
        """→ how it went: rows, empty, error. Raises AssertionError for a difference."""
        try:
            types, theirs = self.theirs(text)
        except duckdb.Error as error:
            return self._refused(text, error)
        try:
            columns, mine = self.ours(text)
        except HavokError as error:
            if not any(reason in error.detail for reason in _LATER):
                raise AssertionError(f"{text}\n{error.detail}, which DuckDB answers") from None
            return "one-sided"
        assert columns == types, f"{text}\n{columns}\ninstead of\n{types}"
        told_alike(text, mine, theirs, ordered=ordered)
        return "rows" if mine else "empty"

    def _refused(self, text: str, error: duckdb.Error) -> str:
        """An error to DuckDB is one to us, unless a filter comes first here and later there."""
        try:
            self.ours(text)
        except HavokError:
            return "error"
        assert any(reason in str(error) for reason in ("Out of Range", "Conversion Error")), f"{text}\n{error}"
        return "one-sided"


# What DuckDB need not meet: dates that Python does not have, errors of rows
# that another filter drops first; and what is refused when it is asked, what hashed keys cannot tell.
_LATER = ("of the years 1 to 9999", "does not fit", "are longer than 478 bytes", "are stored in no order")


def same(mine: Any, theirs: Any) -> bool:
    """Sums of doubles depend on the order of their parts."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return list(mine) == list(theirs) and all(same(mine[name], theirs[name]) for name in mine)
    if isinstance(mine, float) or isinstance(theirs, float):
        numbers = isinstance(mine, (int, float)) and isinstance(theirs, (int, float))
        return numbers and math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return type(mine) is type(theirs) and mine == theirs


def told_alike(text: str, mine: Sequence[Any], theirs: Sequence[Any], *, ordered: bool) -> None:
    """The same rows, in the same order if there is one. Raises AssertionError."""
    assert len(mine) == len(theirs), f"{text}\n{len(mine)} rows instead of {len(theirs)}:\n{mine}\n{theirs}"
    if ordered:
        for row, expected in zip(mine, theirs, strict=True):
            assert same(row, expected), f"{text}\n{row}\ninstead of\n{expected}"
        return
    left = sorted(theirs, key=msgspec.json.encode)
    for row in sorted(mine, key=msgspec.json.encode):  # so that its like is mostly the first
        like = next((at for at, expected in enumerate(left) if same(row, expected)), None)
        assert like is not None, f"{text}\n{row}\nis not among\n{left}"
        del left[like]
