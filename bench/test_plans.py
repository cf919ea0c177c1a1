"""Plan execution per access path: the generated functions over an open snapshot.

Point lookup is the one access path so far, by three ways in: a canonical query string, any
other query string through the binder, and bound values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.snapshots import loaded
from bench.workload import AIRPORTS, BATCH_KEYS, FLIGHT_FIELDS, FLIGHT_KEY, FLIGHTS, Workload, read_workload
from engine.plan import Plan, Point
from engine.planner import plan_lookup
from engine.program import Compiled, Program
from engine.snapshot import Snapshot
from havok.manifest import Manifest
from havok.settings import ServiceSettings


@pytest.fixture(scope="module")
def workload() -> Workload:
    return read_workload()


@pytest.fixture(scope="module")
def airports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    snapshot = loaded(tmp_path_factory.mktemp("airports"), "airports", ("faa",), str(AIRPORTS))
    yield snapshot
    snapshot.release()


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory, small: bool) -> Iterator[Snapshot]:
    directory: Path = tmp_path_factory.mktemp("flights")
    source = f"SELECT * FROM '{FLIGHTS}'{' WHERE month = 1' if small else ''}"
    snapshot = loaded(directory, "flights", FLIGHT_KEY, source)
    yield snapshot
    snapshot.release()


def _plan(manifest: Manifest, fields: tuple[str, ...] = ()) -> Plan:
    settings = ServiceSettings(kind="kv", dataset=manifest.dataset, compartment="bench", fields=fields)
    return plan_lookup("bench", settings, manifest)


@contextmanager
def _program(snapshot: Snapshot, fields: tuple[str, ...] = ()) -> Iterator[Program]:
    plan = _plan(snapshot.manifest, fields)
    assert isinstance(plan.access, Point)
    program = Program(Compiled(plan, plan.access), {snapshot.dataset: snapshot})
    try:
        yield program
    finally:
        program.close()


def test_point_by_canonical_query(benchmark: BenchmarkFixture, airports: Snapshot, workload: Workload) -> None:
    with _program(airports) as program:
        queries = cycle([f"faa={code}".encode() for code in workload.airports])
        assert benchmark(lambda: program.query(next(queries)))


def test_point_by_any_query(benchmark: BenchmarkFixture, airports: Snapshot, workload: Workload) -> None:
    with _program(airports) as program:
        queries = cycle([f"faa=%{ord(code[0]):02X}{code[1:]}".encode() for code in workload.airports])
        assert benchmark(lambda: program.bind_query(next(queries)))


def test_point_by_values(benchmark: BenchmarkFixture, airports: Snapshot, workload: Workload) -> None:
    with _program(airports) as program:
        codes = cycle(workload.airports)
        assert benchmark(lambda: program.point(next(codes)))


def test_point_of_no_row(benchmark: BenchmarkFixture, airports: Snapshot) -> None:
    with _program(airports) as program:
        assert benchmark(program.query, b"faa=NOPE") == b""


@pytest.mark.parametrize("fields", [(), FLIGHT_FIELDS], ids=["row of 19", "3 fields of 19"])
def test_point_of_seven_columns(
    benchmark: BenchmarkFixture, flights: Snapshot, workload: Workload, fields: tuple[str, ...]
) -> None:
    with _program(flights, fields) as program:
        found = [query.encode() for query in workload.flights if program.query(query.encode())]
        queries = cycle(found)
        row = msgspec.json.decode(benchmark(lambda: program.query(next(queries))))
        assert len(row) == (len(fields) or 19)


@pytest.mark.parametrize("fields", [(), ("name", "lat", "lon")], ids=["row", "3 fields"])
def test_batch(benchmark: BenchmarkFixture, airports: Snapshot, workload: Workload, fields: tuple[str, ...]) -> None:
    with _program(airports, fields) as program:
        keys = msgspec.json.encode(list(workload.airports)[:BATCH_KEYS])
        rows = msgspec.json.decode(benchmark(program.bind_batch, keys))
        assert len(rows) == BATCH_KEYS
        assert all(rows)


def test_batch_of_seven_columns(benchmark: BenchmarkFixture, flights: Snapshot) -> None:
    with _program(flights) as program:
        key = ["JFK", 2013, 1, 1, "B6", 725, 545]
        keys = msgspec.json.encode([key] * BATCH_KEYS)
        assert all(msgspec.json.decode(benchmark(program.bind_batch, keys)))


def test_planning_and_compiling(benchmark: BenchmarkFixture, flights: Snapshot) -> None:
    """What a new or changed service costs before it can be flipped to."""

    def make() -> Program:
        with _program(flights, FLIGHT_FIELDS) as program:
            return program

    assert benchmark(make).closed
