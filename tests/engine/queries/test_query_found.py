"""What random queries have found, each as small as it can be."""

from collections.abc import Iterator

import pytest

from engine.plan import PlanError
from engine.snapshot import Snapshot
from havok.errors import BadParam, QueryFailed
from tests.engine.oracle import Oracle
from tests.engine.pages import Service, closed, opened
from tests.engine.tables import Table

LONG = "x" * 600


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    found.load(
        Table(
            "m",
            {
                "k": "VARCHAR", "n": "INTEGER", "f": "FLOAT", "d": "DOUBLE", "wide": "DECIMAL(38,0)",
                "dec": "DECIMAL(30,6)", "cents": "DECIMAL(2,2)", "l": "INTEGER[]", "j": "JSON",
            },
            {},
            ("k", "n"),
            {"by_wide": ("wide",)},
            (
                ("'a'", "1", "1.5", "1.5", "7", "0.5", "0.25", "[1]", "'{\"a\": 1}'"),
                ("'a'", "2", "0.1", "2.5", "7", "NULL", "-0.25", "NULL", "NULL"),
                ("'a'", "3", "NULL", "NULL", "NULL", "1.5", "NULL", "[]", "NULL"),
                (f"'{LONG}'", "2", "1", "3.5", "12345678901234567890", "1", "0", "NULL", "NULL"),
                (f"'{LONG}'", "1", "2", "3.5", "8", "1", "0", "NULL", "NULL"),
            ),
        ),
        Table("w", {"id": "DECIMAL(38,0)", "t": "VARCHAR"}, {}, ("id",), {}, (("7", "'seven'"), ("8", "'eight'"))),
    )  # fmt: skip
    yield found
    found.close()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT l IS NULL AS a, j IS NOT NULL AS b, l, coalesce(n, 0) AS c FROM m WHERE k >= ''",
        "SELECT count(l) AS a, count(j) AS b FROM m WHERE k >= ''",
        "SELECT n FROM m WHERE k >= '' AND f > 1 AND l IS NOT NULL",
        "SELECT n, f = 0.1 AS a, f > 1 AS b, f < 2e0 AS c, coalesce(f, 0) AS d FROM m WHERE k = 'a'",
        "SELECT n FROM m WHERE wide IN (7, 9, 12345678901234567890, NULL)",
        "SELECT n, t FROM m LEFT JOIN w ON id = wide WHERE k >= ''",
        "SELECT n, coalesce(dec, wide) AS c, CASE WHEN n > 1 THEN dec ELSE wide END AS d FROM m WHERE k = 'a'",
        "SELECT coalesce(max(dec), sum(n)) AS a, coalesce(2.0, sum(n)) AS b FROM m WHERE k = 'a'",
        "SELECT n, -(-0.5) AS a, -(-2) AS b, 1 / ceil(-0.5) AS c, CAST(2 AS BIGINT) * n AS d FROM m WHERE k = 'a'",
        "SELECT n, abs(f) AS a, floor(f) AS b, ceil(f) AS c, trunc(f) AS d, round(f) AS e, round(f, 1) AS g "
        "FROM m WHERE k = 'a' AND abs(f) > 0.1",
        "SELECT n, n + 5. AS a, -9223372036854775808e0 AS b FROM m WHERE k = 'a'",
        "SELECT n, -9223372036854775808 AS a, -(-9223372036854775808) AS b FROM m WHERE k = 'a'",
        "SELECT n, greatest(dec, wide) AS a FROM m WHERE wide = 7",
        "SELECT CAST(cents AS VARCHAR) AS c, cents, concat(cents, '!') AS e FROM m WHERE k = 'a'",
        "SELECT exp(d * 1000) - exp(d * 1000) AS g, count(*) AS c FROM m WHERE k >= '' GROUP BY 1",
        "SELECT count(DISTINCT exp(d * 1000) - exp(d * 1000)) AS c, sum(DISTINCT d) AS s FROM m WHERE k >= ''",
        "SELECT n, count(DISTINCT d) AS c, avg(DISTINCT wide) AS a, sum(dec) AS s FROM m WHERE wide > 0 GROUP BY n",
    ],
)
def test_as_duckdb_has_it(oracle: Oracle, text: str) -> None:
    assert oracle.compare(text, ordered=False) == "rows"


def test_keys_that_are_hashed_have_no_order(oracle: Oracle) -> None:
    with pytest.raises(QueryFailed, match=r"stored in no order; .* ORDER BY column \|\| ''"):
        oracle.ours("SELECT n FROM m WHERE k > 'a' ORDER BY k, n")
    with pytest.raises(QueryFailed, match="stored in no order"):
        oracle.ours("SELECT n FROM m WHERE k >= 'a' ORDER BY k DESC, n DESC")
    assert oracle.compare("SELECT n FROM m WHERE k >= 'a' ORDER BY k || '', n", ordered=True) == "rows"
    assert oracle.compare("SELECT n FROM m WHERE k > 'a'", ordered=False) == "rows"


def test_a_cursor_without_a_value_where_there_always_is_one(oracle: Oracle) -> None:
    now: dict[str, Snapshot] = oracle.snapshots
    with Service("SELECT k, n FROM m WHERE k >= '' ORDER BY n, k LIMIT 2", now).on(now) as program:
        _, cursor = program.page()
        assert cursor is not None
        told = opened(cursor)
        assert told[3] is not None
        told[3] = None
        with pytest.raises(BadParam, match="cursor must be the next of an earlier answer"):
            program.page(closed(told))


@pytest.mark.parametrize("text", ["SELECT DISTINCT l FROM m WHERE k >= ''", "SELECT j FROM m WHERE k >= '' GROUP BY j"])
def test_what_cannot_be_compared_is_not_grouped_by(oracle: Oracle, text: str) -> None:
    with pytest.raises(PlanError, match=r"(INTEGER\[\]|JSON) values cannot be compared, so not be grouped by"):
        oracle.ours(text)
