"""LIKE as DuckDB has it, in a time that no pattern can draw out; letters of all alphabets; round() to the last bit."""

import math
import random
import unicodedata
from collections.abc import Iterator
from time import thread_time_ns

import duckdb
import pytest

from engine.queries.functions import FUNCTIONS, ilike, like, round_double

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
    pairs = [("İ", "i"), ("İ", "i̇"), ("ΑΣ", "ας"), ("ß", "ẞ"), ("ſ", "s"), ("Σ", "ς"), ("STRASSE", "straße")]
    for text, pattern in [*pairs, ("ÄB", "ä_")]:
        (expected,) = duckdb.execute("SELECT ?::VARCHAR ILIKE ?::VARCHAR", [text, pattern]).fetchone() or ()
        assert ilike(text, pattern) == expected, (text, pattern)


# Alphabets with two cases, ligatures, spaces of every width, what lies beyond 16 bits.
RANGES = ((1, 0x590), (0x10A0, 0x1100), (0x1E00, 0x2070), (0x2C60, 0x2C80), (0x3000, 0x3010), (0xFB00, 0xFB18),
          (0x10400, 0x10450), (0x1F600, 0x1F610))  # fmt: skip
YOUNG = (0x19B, 0x264)  # their capitals came with Unicode 16, which not every Python has
WRITTEN = [chr(code) for codes in RANGES for code in range(*codes) if code not in YOUNG]


@pytest.mark.parametrize("name", ["upper", "lower", "length", "reverse", "trim", "ltrim", "rtrim"])
def test_letters_of_all_alphabets(name: str) -> None:
    dice = random.Random(name)
    words = ["".join(dice.choices((*"aΣσß İ\xa0", letter), k=5)) for letter in WRITTEN if combines_not(letter)]
    texts = [*WRITTEN, *words]
    found = duckdb.execute(f"SELECT {name}(t) FROM (SELECT unnest(?::VARCHAR[]) AS t)", [texts]).fetchall()
    for text, (expected,) in zip(texts, found, strict=True):
        assert FUNCTIONS[name](text) == expected, ascii(text)


def combines_not(letter: str) -> bool:
    """Whether reverse() leaves it apart from its neighbours: DuckDB turns what is seen as one letter."""
    return unicodedata.category(letter) not in ("Mn", "Me", "Cf", "Cc")


def doubles(dice: random.Random) -> Iterator[float]:
    """Of every size, mostly a half of some digit or what is nearest to one."""
    yield from (0.0, -0.0, 5e-324, 1.7e308, 2.0**53, 4503599627370497.5)
    for _ in range(2000):
        yield dice.uniform(-1, 1) * 10.0 ** dice.randint(-320, 307)
        digits = 10 ** dice.randint(0, 25)
        yield (dice.randint(-(10**7), 10**7) * 10 + 5) / digits
        yield dice.randint(-(10**18), 10**18) / digits


@pytest.mark.parametrize("digits", [0, 1, 2, 3, 5, 10, 16, 22, 23, 25, 308, 309, 1000])
def test_rounded_doubles(digits: int) -> None:
    values = list(doubles(random.Random(digits)))
    found = duckdb.execute(
        f"SELECT round(x, {digits}), round(x) FROM (SELECT unnest(?::DOUBLE[]) AS x)", [values]
    ).fetchall()
    for value, (rounded, whole) in zip(values, found, strict=True):
        for mine, theirs in ((round_double(value, digits), rounded), (round_double(value), whole)):
            assert mine == theirs, (value, digits)
            assert math.copysign(1, mine) == math.copysign(1, theirs), (value, digits)
