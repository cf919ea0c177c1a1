"""Fixtures: a small dataset on disk, and a server that serves it."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.engine.making import BIG, Row, route_of, write_airports, write_version
from tests.engine.wire import Client, Wire

# Failures print the seed (`@reproduce_failure`); fixtures here hold no state between examples.
settings.register_profile(
    "havok",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("havok")


@pytest.fixture(scope="session")
def airports_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_airports(tmp_path_factory.mktemp("datasets") / "v1")


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
def airports(wire: Wire, airports_dir: Path) -> Wire:
    """A server with the one service `airport`."""
    wire.deploy(airport=route_of(airports_dir))
    return wire


@pytest.fixture
def client(airports: Wire) -> Client:
    return airports.client()


@pytest.fixture
def big(wire: Wire, tmp_path: Path) -> Wire:
    """Rows of 20 kB, and one of 3 MB."""
    rows: list[Row] = [((f"k{number}",), {"n": number, "text": BIG}) for number in range(10)]
    rows.append((("huge",), {"n": 10, "text": "y" * 3_000_000}))
    columns = (("n", "BIGINT"), ("text", "VARCHAR"))
    wire.deploy(big=route_of(write_version(tmp_path / "v", [("k", "string")], rows, columns=columns)))
    return wire


@pytest.fixture
def dice() -> random.Random:
    """HAVOK_SEED chooses; what a failure printed is what it is repeated by."""
    seed = int(os.environ.get("HAVOK_SEED", "20261123"))
    print(f"HAVOK_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def rounds() -> int:
    """HAVOK_ROUNDS: a few in CI, many where there is time."""
    return int(os.environ.get("HAVOK_ROUNDS", "300"))
