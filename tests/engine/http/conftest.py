"""Two servers of which one forwards to the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.snapshot import Snapshot
from tests.engine.http.relaying import Pair, write_wide
from tests.engine.making import BIG, Row, route_of, write_airports, write_version
from tests.engine.selecting import opened
from tests.engine.selecting import route_of as sql_route

WHOLE = "SELECT n, text FROM t WHERE k = :k"


@pytest.fixture(scope="module")
def huge_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row of 3 MB."""
    rows: list[Row] = [(("huge",), {"text": "y" * 3_000_000}), (("k",), {"text": BIG})]
    return write_version(tmp_path_factory.mktemp("huge") / "v", [("k", "string")], rows, columns=(("text", "VARCHAR"),))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    with opened(write_wide(tmp_path_factory.mktemp("wide") / "v")) as snapshot:
        yield snapshot


@pytest.fixture(scope="module")
def far_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_airports(tmp_path_factory.mktemp("far") / "v")


@pytest.fixture
def pair(airports_dir: Path, far_dir: Path, huge_dir: Path, wide: Snapshot) -> Iterator[Pair]:
    made = Pair()
    there = {"far": route_of(far_dir), "huge": route_of(huge_dir), "whole": sql_route(WHOLE, wide)}
    made.deploy({"airport": route_of(airports_dir)}, there)  # type: ignore[arg-type]
    yield made
    made.close()
