"""Queries, pages and expressions against DuckDB, for as long as it takes to trust them.

Not part of a plain `pytest`, which leaves this folder out (`norecursedirs`): `./run endurance`.
HAVOK_ORACLE says how many of each, HAVOK_SEED where to begin; each batch prints its seed.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.engine import properties
from tests.engine.oracle import Oracle
from tests.engine.paging_properties import Paging
from tests.engine.queries.test_scalar_oracle import EXPRESSIONS_PER_EXAMPLE, Expressions

QUERIES = 20_000
SERVICES = 5_000
EXPRESSIONS = 20_000
DAY_S = 24 * 3600

pytestmark = pytest.mark.timeout(DAY_S)


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


def test_random_queries(oracle: Oracle) -> None:
    went: Counter[str] = Counter()
    queries, seed = properties.wanted(QUERIES)
    properties.queries_are_answered_alike(oracle, queries, seed, went)
    assert went["rows"] > queries / 5


def test_pages_are_the_whole_answer(oracle: Oracle) -> None:
    paging = Paging(oracle)
    services, seed = properties.wanted(SERVICES)
    paging.run(services, seed)
    assert paging.went["rows"] > services / 10


def test_random_expressions(oracle: Oracle) -> None:
    expressions, seed = properties.wanted(EXPRESSIONS)
    went = Expressions(oracle.db)
    properties.hold(went.check, expressions // EXPRESSIONS_PER_EXAMPLE, seed)
    print(dict(went.counts))
    assert went.counts["one-sided"] < went.counts["compared"] / 50
