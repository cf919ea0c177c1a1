"""The suites' sizes: full, or with HAVOK_BENCH_SMALL set just enough to see them run."""

import os

import pytest

SMALL = "HAVOK_BENCH_SMALL"


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get(SMALL):
        config.option.benchmark_max_time = 0.02
        config.option.benchmark_min_rounds = 1
        config.option.benchmark_calibration_precision = 1


@pytest.fixture(scope="session")
def small() -> bool:
    return bool(os.environ.get(SMALL))
