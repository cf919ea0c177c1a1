"""DuckDB over the cold twin is the oracle of compiled queries: same rows, same types, same order.

The seed is printed; HAVOK_SEED replays one, HAVOK_ORACLE says how many queries.
"""

import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from engine.query_program import CompiledQuery, run
from engine.snapshot import Snapshot, open_snapshot
from engine.sql.front import compile_sql
from havok import layout
from havok.errors import TooManyRows
from havok.settings import DatasetSettings, LoaderSettings
from loader import activation, candidate, publish, render
from tests.engine import queries

QUERIES = 500  # in CI
ROWS_MAX = 100_000


class Tables:
    """The two tables as snapshots, and in DuckDB as their twins have them."""

    def __init__(self, directory: Path) -> None:
        self.seed = int(os.environ.get("HAVOK_SEED") or random.randrange(1 << 32))
        self._directory = directory
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone = 'UTC'")
        self.db.execute(f"SELECT setseed({self.seed / (1 << 32)})")
        self.snapshots: dict[str, Snapshot] = {}
        self._load("m", queries.MAIN, queries.KEY, queries.INDEXES)
        self._load("o", queries.OTHER, ("id",), {})
        self.manifests = {name: snapshot.manifest for name, snapshot in self.snapshots.items()}

    def _load(self, name: str, select: str, key: tuple[str, ...], indexes: dict[str, tuple[str, ...]]) -> None:
        file = self._directory / f"{name}.parquet"
        self.db.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        publish.publish(
            publish.LoadRequest(
                data_dir=self._directory, dataset=name, settings=DatasetSettings(key=key, indexes=indexes),
                config_dir=self._directory, loader=LoaderSettings(memory_mb=256, threads=1), source=str(file),
            ),
            activation.NoNode(),
            candidate.Silent(),
        )  # fmt: skip
        live = layout.live_version(self._directory, name)
        assert live is not None
        directory = layout.version_dir(self._directory, name, live)
        self.snapshots[name] = open_snapshot(directory)
        self.db.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{directory}/rows.parquet')")

    def ours(self, text: str) -> tuple[list[tuple[str, str]], list[Any]]:
        """(names and types, rows) of the compiled query."""
        found = compile_sql(text, self.manifests, {})
        select = CompiledQuery(found.query, "q", list(found.params)).bind(self.snapshots, ROWS_MAX)
        columns = [(item.name, item.value.type) for item in found.query.outputs]
        return columns, msgspec.json.decode(run(select()))

    def theirs(self, text: str) -> tuple[list[tuple[str, str]], list[Any]]:
        """The same from DuckDB, rendered as the loader renders rows."""
        relation = self.db.sql(text)
        columns = list(zip(relation.columns, relation.types, strict=True))
        rows = self.db.execute(f"SELECT {render.row_json(columns)} FROM ({text})").fetchall()
        shown = [(name, str(kind).replace(", ", ",")) for name, kind in columns]
        return shown, [msgspec.json.decode(row[0]) for row in rows]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    found = Tables(tmp_path_factory.mktemp("tables"))
    yield found
    for snapshot in found.snapshots.values():
        snapshot.release()


def same(mine: Any, theirs: Any) -> bool:
    """Sums of doubles depend on the order of their parts."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return list(mine) == list(theirs) and all(same(mine[name], theirs[name]) for name in mine)
    if isinstance(mine, float) or isinstance(theirs, float):
        numbers = isinstance(mine, (int, float)) and isinstance(theirs, (int, float))
        return numbers and math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
    return type(mine) is type(theirs) and mine == theirs


def by_content(row: dict[str, Any]) -> bytes:
    rounded = {name: round(value, 6) + 0.0 if isinstance(value, float) else value for name, value in row.items()}
    return msgspec.json.encode(rounded)


def test_random_queries(tables: Tables) -> None:
    print(f"HAVOK_SEED={tables.seed}")
    maker = queries.Maker(tables.seed)
    count = int(os.environ.get("HAVOK_ORACLE") or QUERIES)
    answered = 0
    for _ in range(count):
        text, ordered = maker.query()
        (columns, mine), (types, theirs) = tables.ours(text), tables.theirs(text)
        assert columns == types, text
        if not ordered:
            mine, theirs = sorted(mine, key=by_content), sorted(theirs, key=by_content)
        assert len(mine) == len(theirs), text
        for row, expected in zip(mine, theirs, strict=True):
            assert same(row, expected), f"{text}: {row} instead of {expected}"
        answered += bool(mine)
    print(f"{answered} of {count} queries had rows")
    assert answered > count / 3


def test_rows_over_the_bound_are_an_error(tables: Tables) -> None:
    found = compile_sql("SELECT k2 FROM m WHERE k1 >= ''", tables.manifests, {})
    select = CompiledQuery(found.query, "q", []).bind(tables.snapshots, 10)
    with pytest.raises(TooManyRows, match="more than 10 rows"):
        run(select())


def test_parameters_are_bound(tables: Tables) -> None:
    text = (
        "SELECT k1, k2, a FROM m WHERE k1 IN (:texts) AND k2 >= :least AND a LIKE :pattern ORDER BY k1, k2, k3 LIMIT :n"
    )
    found = compile_sql(text, tables.manifests, {})
    assert found.params == {"texts": "VARCHAR[]", "least": "BIGINT", "pattern": "VARCHAR", "n": "BIGINT"}
    select = CompiledQuery(found.query, "q", list(found.params)).bind(tables.snapshots, ROWS_MAX)
    mine = msgspec.json.decode(run(select(["a", "b'; DROP TABLE m --", "a"], 0, "%z%", 5)))
    plain = text.replace(":texts", "'a'").replace(":least", "0").replace(":pattern", "'%z%'").replace(":n", "5")
    assert mine == tables.theirs(plain)[1]
