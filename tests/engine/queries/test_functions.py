"""LIKE as DuckDB has it, in a time that no pattern can draw out."""

import random
from time import thread_time_ns

import duckdb
import pytest

from engine.queries.functions import ilike, like

LETTERS = "ab_%é\n"


def test_random_patterns() -> None:
    dice = random.Random(3)
    pairs = [
        ("".join(dice.choices("abé\n", k=dice.randrange(9))), "".join(dice.choices(LETTERS, k=dice.randrange(7))))
        for _ in range(5000)
    ]
    found = duckdb.execute(
        "SELECT t LIKE p, t ILIKE p FROM (SELECT unnest(?::VARCHAR[]) AS t, unnest(?::VARCHAR[]) AS p)",
        [[text for text, _ in pairs], [pattern for _, pattern in pairs]],
    ).fetchall()
    for (text, pattern), (liked, iliked) in zip(pairs, found, strict=True):
        assert (like(text, pattern), ilike(text, pattern)) == (liked, iliked), (text, pattern)


@pytest.mark.parametrize("pattern", ["%a%a%a%b", "%a%a%a%a%a%a%a%b", "%_%_%_%_%b", "%" * 200 + "b", "%a_a%a_a%ab"])
def test_a_callers_pattern_does_not_hold_the_loop(pattern: str) -> None:
    started = thread_time_ns()
    assert not like("a" * 3000, pattern)
    assert thread_time_ns() - started < 20_000_000


def test_letters_that_fold_to_others() -> None:
    for text, pattern in (("ſ", "s"), ("Σ", "ς"), ("STRASSE", "straße"), ("ÄB", "ä_")):
        (expected,) = duckdb.execute("SELECT ?::VARCHAR ILIKE ?::VARCHAR", [text, pattern]).fetchone() or ()
        assert ilike(text, pattern) == expected, (text, pattern)
