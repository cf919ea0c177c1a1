"""Sealing rows at build time and checking them at read time."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.workload import Workload, read_workload
from havok.keys import encode
from havok.rows import seal, unseal


@pytest.fixture(scope="module")
def row() -> tuple[bytes, bytes]:
    """(full key encoding, JSON) of one airport."""
    workload: Workload = read_workload()
    code = "JFK"
    return encode(("string",), (code,)), workload.airports[code]


def test_seal(benchmark: BenchmarkFixture, row: tuple[bytes, bytes]) -> None:
    encoding, body = row
    assert benchmark(seal, encoding, body)[0] == encoding


def test_unseal(benchmark: BenchmarkFixture, row: tuple[bytes, bytes]) -> None:
    encoding, body = row
    _, value = seal(encoding, body)
    assert benchmark(unseal, encoding, value) == body


def test_unseal_under_a_hashed_key(benchmark: BenchmarkFixture, row: tuple[bytes, bytes]) -> None:
    encoding, body = b"k" * 1000, row[1]
    _, value = seal(encoding, body)
    assert benchmark(unseal, encoding, value) == body
