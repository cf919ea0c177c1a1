"""Who is warned that requests may read more rows than they may."""

import pytest

from console.estimate import Estimate, over_bound
from tests.engine.sql.test_front import compiled


@pytest.mark.parametrize(
    ("rest", "median", "said"),
    [
        ("origin = :o", 5, "a request of the most frequent values reads about 300 rows, more than max_rows_scan"),
        ("origin = :o", 200, "a request of most values reads about 200 rows"),
        ("origin = :o AND day > :d", 200, "a request of most values reads up to 200 rows"),
        ("tailnum > :t", 5, "a request of a wide range reads up to 300 rows"),
        ("origin = :o ORDER BY delay LIMIT 5", 5, "is refused (422 too_many_rows): raise that, or fix more of"),
        ("origin = :o LIMIT 5", 5, None),
        ("origin = :o AND day = :d AND flight = :f", 5, None),
    ],
)  # fmt: skip
def test_over_the_bound(rest: str, median: int, said: str | None) -> None:
    told = over_bound(compiled(f"SELECT dest FROM flights WHERE {rest}"), Estimate(median, 300), 99)
    assert told is None if said is None else said in (told or "")


def test_within_it() -> None:
    assert over_bound(compiled("SELECT dest FROM flights WHERE origin = :o"), Estimate(5, 300), 300) is None
