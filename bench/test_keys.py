"""Key encoding: what a worker pays before it can look anything up."""

import datetime

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from havok.keys import KeyKind, KeyValue, bounded, encode, encode_nullable, successor

AIRPORT: tuple[KeyKind, ...] = ("string",)
FLIGHT: tuple[KeyKind, ...] = ("string", "int", "int", "int", "string", "int", "int")
FLIGHT_VALUES: tuple[KeyValue, ...] = ("JFK", 2013, 6, 30, "B6", 715, 1459)
MOMENT: tuple[KeyKind, ...] = ("date", "timestamp")
MOMENT_VALUES: tuple[KeyValue, ...] = (
    datetime.date(2013, 6, 30),
    datetime.datetime(2013, 6, 30, 14, 59, tzinfo=datetime.UTC),
)


@pytest.mark.parametrize(
    ("kinds", "values"),
    [(AIRPORT, ("JFK",)), (FLIGHT, FLIGHT_VALUES), (MOMENT, MOMENT_VALUES), (("wide",), (1 << 100,))],
    ids=["one string", "seven columns", "date and timestamp", "128 bit"],
)
def test_encode(benchmark: BenchmarkFixture, kinds: tuple[KeyKind, ...], values: tuple[KeyValue, ...]) -> None:
    assert benchmark(encode, kinds, values)


def test_encode_nullable(benchmark: BenchmarkFixture) -> None:
    assert benchmark(encode_nullable, ("string", "int"), (None, 2013)).startswith(b"\x02")


@pytest.mark.parametrize("size", [16, 64 * 1024], ids=["as it is", "64 KiB hashed"])
def test_bounded(benchmark: BenchmarkFixture, size: int) -> None:
    assert len(benchmark(bounded, b"k" * size)) <= 511


def test_successor(benchmark: BenchmarkFixture) -> None:
    prefix = encode(FLIGHT[:2], FLIGHT_VALUES[:2])
    assert benchmark(successor, prefix) > prefix
