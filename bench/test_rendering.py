"""From a stored row to the bytes of an answer."""

from collections.abc import Callable

import duckdb
import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.workload import FLIGHT_FIELDS, FLIGHTS
from engine.column import OutputColumn
from engine.forms.transcode import to_msgpack
from engine.http.responses import error_response, head, http_date, response
from engine.program import projection
from havok.errors import BadParam

HEADERS = b"Havok-Version: flights@20261123T030405Z-1a2b3c4d\r\nHavok-Compartment: travel-high\r\n"
DATE = http_date(0)


@pytest.fixture(scope="module")
def flight() -> bytes:
    """One row of nineteen columns as it is stored."""
    with duckdb.connect() as db:
        found = db.execute("SELECT to_json(t) FROM read_parquet(?) t LIMIT 1", [str(FLIGHTS)]).fetchone()
    assert found is not None
    row: str = found[0]
    return row.encode()


def _columns(row: bytes) -> tuple[OutputColumn, ...]:
    values = msgspec.json.decode(row, type=dict[str, object])
    return tuple(
        OutputColumn(name, "BIGINT" if isinstance(value, int) else "VARCHAR") for name, value in values.items()
    )


@pytest.mark.parametrize("count", [1, 3, 18], ids=lambda count: f"{count} of 19 fields")
def test_projection(benchmark: BenchmarkFixture, flight: bytes, count: int) -> None:
    names = (*FLIGHT_FIELDS, *(column.name for column in _columns(flight) if column.name not in FLIGHT_FIELDS))[:count]
    project: Callable[[bytes], bytes] = projection(names)
    assert tuple(msgspec.json.decode(benchmark(project, flight))) == names


def test_response(benchmark: BenchmarkFixture, flight: bytes) -> None:
    start = head(200, DATE, HEADERS, "application/json")
    assert benchmark(response, start, flight).endswith(flight)


def test_problem(benchmark: BenchmarkFixture) -> None:
    error = BadParam("faa", "pattern", "faa must match ^[A-Z0-9]{3}$")
    assert benchmark(error_response, error, DATE, HEADERS).startswith(b"HTTP/1.1 400")


def test_messagepack(benchmark: BenchmarkFixture, flight: bytes) -> None:
    transcode = to_msgpack(_columns(flight))
    body = b'{"data":%b}' % flight
    assert msgspec.msgpack.decode(benchmark(transcode, body)) == msgspec.json.decode(body)
