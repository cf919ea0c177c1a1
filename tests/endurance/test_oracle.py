"""Queries, pages and expressions against DuckDB, for as long as it takes to trust them.

Not part of a plain `pytest`, which leaves this folder out (`norecursedirs`): `./run endurance`.
HAVOK_ORACLE says how many of each, HAVOK_SEED where to begin; what fails is printed with its seed.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.engine.oracle import Oracle
from tests.engine.paging_properties import SERVICES_PER_EXAMPLE, Paging
from tests.engine.properties import Queries, hold, sweep, wanted
from tests.engine.queries.test_scalar_oracle import EXPRESSIONS_PER_EXAMPLE, Expressions

QUERIES = 20_000
SERVICES = 5_000
EXPRESSIONS = 20_000
CASES = 4_000  # of each sweep; a case is a few queries, services or expressions
DAY_S = 24 * 3600

pytestmark = pytest.mark.timeout(DAY_S)


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


def test_random_queries(oracle: Oracle) -> None:
    queries, seed = wanted(QUERIES)
    made = Queries(oracle)
    made.hold(queries, seed)
    assert made.went["rows"] > queries / 5


def test_pages_are_the_whole_answer(oracle: Oracle) -> None:
    services, seed = wanted(SERVICES)
    made = Paging(oracle)
    hold(made.check, services // SERVICES_PER_EXAMPLE, seed)
    print(dict(made.went))
    assert made.went["rows"] > services / 10


def test_random_expressions(oracle: Oracle) -> None:
    expressions, seed = wanted(EXPRESSIONS)
    made = Expressions(oracle.db)
    hold(made.check, expressions // EXPRESSIONS_PER_EXAMPLE, seed)
    print(dict(made.went))
    assert made.went["one-sided"] < made.went["compared"] / 50


@pytest.mark.parametrize(
    "kind", [Queries, Paging, lambda oracle: Expressions(oracle.db)], ids=["queries", "pages", "expressions"]
)
def test_sweep(oracle: Oracle, kind: Callable[[Oracle], Queries | Paging | Expressions]) -> None:
    made = kind(oracle)
    sweep(made.check, *wanted(CASES))
    print(dict(made.went))
