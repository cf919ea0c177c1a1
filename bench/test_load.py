"""The publish cycle at sizes where its fixed costs show; `bench.load` has the large one."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.load import DATASET, KEY, write_table
from bench.snapshots import load
from bench.workload import AIRPORTS
from havok.layout import version_dir
from havok.manifest import ROWS_FILE, read_manifest, verify_file
from loader.publish import LoadResult

SMALL_ROWS = 1_000
FULL_ROWS = 100_000


@pytest.fixture(scope="module")
def rows(small: bool) -> int:
    return SMALL_ROWS if small else FULL_ROWS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, rows: int) -> Path:
    path = tmp_path_factory.mktemp("table") / "orders.parquet"
    write_table(path, rows)
    return path


def test_load_of_parquet(benchmark: BenchmarkFixture, tmp_path: Path, table: Path, rows: int) -> None:
    result: LoadResult = benchmark(load, tmp_path, DATASET, KEY, str(table))
    assert result.rows == rows


def test_load_of_a_small_csv(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    result: LoadResult = benchmark(load, tmp_path, "airports", ("faa",), str(AIRPORTS))
    assert result.activated


def test_verifying_the_rows_file(benchmark: BenchmarkFixture, tmp_path: Path, table: Path) -> None:
    """What every worker reads before it opens a version: also what warms its pages."""
    result = load(tmp_path, DATASET, KEY, str(table))
    version = version_dir(tmp_path, DATASET, result.version)
    benchmark(verify_file, version / ROWS_FILE, read_manifest(version).files[ROWS_FILE])
