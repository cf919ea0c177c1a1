"""DuckDB over the cold twin is the oracle of compiled queries: same rows, same types, same order.

Hypothesis draws tables and queries over them, and shrinks both. HAVOK_ORACLE says how many
queries, HAVOK_SEED which; both are printed, and so is the `@reproduce_failure` of a failure.
"""

import datetime
from collections.abc import Iterator

import pytest

from engine.sql.front import compile_sql
from havok.errors import TooManyRows
from tests.engine.oracle import Oracle, told_alike
from tests.engine.properties import Queries, wanted
from tests.engine.tables import Table

QUERIES = 500  # in CI


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


@pytest.mark.timeout(900)  # a failure is shrunk
def test_random_queries(oracle: Oracle) -> None:
    queries, seed = wanted(QUERIES)
    made = Queries(oracle)
    made.hold(queries, seed)
    went = made.went
    assert went["rows"] > queries / 5
    assert went["error"] + went["one-sided"] < queries / 20 + 10


THREE = Table(
    "m",
    {"k": "VARCHAR", "n": "INTEGER", "day": "DATE"},
    {},
    ("k", "n"),
    {},
    tuple((f"'{k}'", str(n), f"DATE '2013-01-0{n}'") for k in ("a", "b", "b''; --") for n in range(1, 7)),
)


def test_rows_over_the_bound_are_an_error(oracle: Oracle) -> None:
    oracle.load(THREE)
    found = compile_sql("SELECT n FROM m WHERE k >= ''", oracle.manifests, {})
    with pytest.raises(TooManyRows, match="more than 10 rows"):
        oracle.rows(found, (), rows_max=10)


def test_parameters_are_bound(oracle: Oracle) -> None:
    oracle.load(THREE)
    text = (
        "SELECT k, n FROM m WHERE k IN (:texts) AND n >= :least AND k LIKE :pattern AND day > :day "
        "ORDER BY k, n LIMIT :count"
    )
    found = compile_sql(text, oracle.manifests, {})
    assert found.params == {
        "texts": "VARCHAR[]", "least": "BIGINT", "pattern": "VARCHAR", "day": "DATE", "count": "BIGINT",
    }  # fmt: skip
    mine = oracle.rows(found, (["b", "b'; --", "b"], 2, "%b%", datetime.date(2013, 1, 2), 5))
    plain = text.replace(":texts", "'b', 'b''; --'").replace(":least", "2").replace(":pattern", "'%b%'")
    assert len(mine) == 5
    assert mine == oracle.theirs(plain.replace(":day", "DATE '2013-01-02'").replace(":count", "5"))[1]


def test_rows_without_an_order_are_matched_whatever_they_hold(oracle: Oracle) -> None:
    """A double too small to be told from zero by its first digits is still told from it."""
    rows = (("1", "9", "1e-7"), ("2", "8", "0.0"), ("3", "7", "2e-7"), ("4", "6", "0.1"))
    oracle.load(Table("m", {"k": "INTEGER", "n": "INTEGER", "d": "DOUBLE"}, {}, ("k",), {"by_n": ("n",)}, rows))
    text = "SELECT least(m.d, m.d) AS d FROM m LEFT JOIN m AS j ON j.k = m.n WHERE m.n > 0"
    assert oracle.ours(text)[1] == oracle.theirs(text)[1][::-1]
    assert oracle.compare(text, ordered=False) == "rows"
    with pytest.raises(AssertionError, match=r"0\.1}\nis not among"):
        told_alike("", [{"d": 1e-7}, {"d": 0.1}], [{"d": 0.0}, {"d": 1e-7}], ordered=False)
