"""Buckets: how wide they are, and what quantiles read from them."""

import math
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from engine.histogram import LINEAR, Histogram

LATENCIES = st.one_of(st.integers(0, 2**20), st.integers(0, 2**40 - 1), st.integers(0, 3_000_000))


def test_an_empty_one() -> None:
    assert Histogram().count == 0
    assert [Histogram().quantile_ns(q) for q in (0, 0.5, 1)] == [0, 0, 0]


@given(LATENCIES)
@example(0)
@example(1023)
@example(1024)
@example(2**20 - 1)
@example(2**20)
@example(2**40 - 1)
def test_the_error_of_one_value(ns: int) -> None:
    histogram = Histogram()
    histogram.record(ns)
    edge = histogram.quantile_ns(0.5)
    assert ns < edge
    assert edge - ns <= max(1024, ns / 16)


@given(st.lists(LATENCIES, max_size=50))
def test_the_sum_of_all(latencies: list[int]) -> None:
    histogram = Histogram()
    for ns in latencies:
        histogram.record(ns)
    assert abs(histogram.total_ns - sum(latencies)) <= sum(max(512, ns / 32) for ns in latencies)


def test_what_is_longer_than_the_last_bucket_is_counted_there() -> None:
    histogram = Histogram()
    histogram.record(2**40)
    histogram.record(2**63)
    assert histogram.count == 2
    assert histogram.quantile_ns(1) == 2**40


def test_the_hot_path_counts_as_record_does() -> None:
    for ns in (0, 5_000, 1_048_575):
        by_record, by_hand = Histogram(), Histogram()
        by_record.record(ns)
        assert ns >> 10 < LINEAR
        by_hand.linear[ns >> 10] += 1
        assert by_record.linear == by_hand.linear


@given(st.lists(LATENCIES, min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_against_sorted_values(values: list[int], quantile: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, math.ceil(quantile * len(values)) - 1)]
    edge = histogram.quantile_ns(quantile)
    assert histogram.count == len(values)
    assert exact < edge <= exact + max(1024, exact / 16)


@given(st.lists(LATENCIES, min_size=1, max_size=100))
def test_quantiles_never_fall(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    edges = [histogram.quantile_ns(step / 20) for step in range(21)]
    assert all(low <= high for low, high in pairwise(edges))
