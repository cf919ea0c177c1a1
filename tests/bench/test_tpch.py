"""All 22 queries of TPC-H through the compiler and the twins, against DuckDB over the same files.

HAVOK_TPCH_SCALE: 0.01 in CI.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from bench import tpch
from engine.analysis.twins import Twins
from engine.sql.analytical import compile_analytical
from havok.settings import ParamSettings
from tests.engine.twinning import Twinned


class Warehouse:
    def __init__(self, directory: Path) -> None:
        self.data = Twinned(directory)
        (directory / "generated").mkdir()
        self.plain = duckdb.connect()
        scale = float(os.environ.get("HAVOK_TPCH_SCALE") or 0.01)
        for table, file in tpch.generate(directory / "generated", scale).items():
            self.data.load_file(table, file, tpch.KEYS[table])
            self.plain.execute(f"CREATE VIEW {table} AS SELECT * FROM '{file}'")
        self.twins = Twins(self.data.data_dir, 512, 1)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    made = Warehouse(tmp_path_factory.mktemp("tpch"))
    yield made
    made.twins.close()
    made.plain.close()


def same(mine: object, theirs: object) -> bool:
    """Sums of doubles depend on the order of their parts."""
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=1e-9)
    return type(mine) is type(theirs) and mine == theirs


@pytest.mark.parametrize("query", tpch.queries(), ids=lambda query: f"Q{query.number}")
def test_the_answers_are_duckdbs(warehouse: Warehouse, query: tpch.TpchQuery) -> None:
    params = {name: ParamSettings(type=kind) for name, kind in query.types.items()}  # type: ignore[arg-type]
    compiled, types = compile_analytical(query.sql, warehouse.data.manifests, params)
    assert types.keys() == query.values.keys()
    mine = [row for chunk in warehouse.twins.run(compiled, warehouse.data.versions, query.values) for row in chunk]
    relation = warehouse.plain.sql(query.written_out)
    theirs = relation.fetchall()
    assert [column.name for column in compiled.columns] == relation.columns
    assert len(mine) == len(theirs)
    for row, expected in zip(mine, theirs, strict=True):
        assert all(same(value, wanted) for value, wanted in zip(row, expected, strict=True)), (row, expected)


def test_every_query_is_there() -> None:
    assert [query.number for query in tpch.queries()] == list(range(1, 23))
