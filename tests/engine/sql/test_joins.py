"""What cannot be looked up row by row is refused, with the join to write."""

import pytest

from tests.engine.sql.test_front import compiled, refused

TURNED = "To read many of its rows turn the two round: FROM flights … JOIN airports … ON a.faa = …"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("flights f CROSS JOIN airports a WHERE f.origin = 'JFK'", "would be read for each row before it; join it by"),
        ("flights f CROSS JOIN airports a WHERE f.origin = 'JFK'", "airports … ON a.faa = …"),
        ("flights f, airports a WHERE f.origin = 'JFK'", "every row of airports would be read"),
        ("flights f, airports a WHERE a.faa = f.dest AND f.origin = 'JFK'", "of airports is compared in WHERE; move"),
        ("flights f, airports a WHERE faa = f.dest AND f.origin = 'JFK'", "JOIN: JOIN airports … ON a.faa = …"),
        ("flights f, airports a WHERE a.name = f.dest AND f.origin = 'JFK'", "every row of airports would be read"),
        ("flights f, flights g WHERE origin = 'x' AND day = 1 AND flight = 2", "every row of flights would be read"),
        ("flights f JOIN airports a ON a.name = f.dest WHERE f.origin = 'x'", "ON does not give faa. To read many of"),
        ("flights f JOIN airports a ON a.name = f.dest WHERE f.origin = 'x'", "FROM airports … JOIN flights … ON f.o"),
        ("flights f LEFT JOIN airports a ON a.faa = dest AND name = 'x' WHERE f.origin = 'x'", "and nothing else"),
        ("flights f JOIN airports a USING (origin) WHERE tailnum = 'x'", "USING is not supported"),
        ("flights f RIGHT JOIN airports a ON a.faa = dest WHERE tailnum = 'x'", "RIGHT JOIN is not"),
        ("airports a JOIN flights f ON f.dest = faa WHERE faa = 'x'", f"give origin, day, flight. {TURNED}"),
        ("flights f JOIN flights g ON g.dest = f.dest WHERE f.tailnum = 'x'", "Begin FROM with the dataset of which"),
    ],
)  # fmt: skip
def test_refusals_teach(rest: str, said: str) -> None:
    assert said in refused(f"SELECT f.dest FROM {rest}")


def test_a_condition_beside_the_key_is_a_filter() -> None:
    query = compiled(
        "SELECT f.dest FROM flights f JOIN airports a ON f.dest = a.faa AND a.name > 'b' WHERE f.origin = 'x'"
    )
    assert [lookup.dataset for lookup in query.lookups] == ["airports"]
    assert query.where is not None
