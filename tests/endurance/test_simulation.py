"""Simulated nodes for as long as it takes to trust them: HAVOK_STORMS says how many, HAVOK_SEED which one."""

import os

import pytest

from tests.simulation.chaos import lossy, storm, tides
from tests.simulation.seeds import Runs, wanted

STORMS = 200_000
DAY_S = 24 * 3600

pytestmark = pytest.mark.timeout(DAY_S)


def storms() -> int:
    return int(os.environ.get("HAVOK_STORMS", STORMS))


def test_storms() -> None:
    print(dict(Runs().run(storm, wanted(storms())).counts))


def test_tides() -> None:
    print(dict(Runs().run(tides, wanted(storms() // 50)).counts))


def test_lossy() -> None:
    runs = Runs().run(lossy, wanted(storms() // 20))
    p50, p99, most = (runs.lag_ms(share) for share in (0.5, 0.99, 1))
    print(f"{len(runs.lags_ns)} changes at followers: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms")
    assert p99 <= 300
