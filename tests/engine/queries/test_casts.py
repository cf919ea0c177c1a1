"""Casts of texts to numbers: what DuckDB refuses is refused, and what both take is the same number."""

import duckdb
import pytest

from engine.queries.casts import cast
from havok.errors import QueryFailed

TEXTS = (
    "1", "-7", "+5", "00012", " 1", "1 ", "\t1\n", "\x0b1\x0c", "-0", "127", "128", "-129", "9223372036854775808",
    "9" * 38, "9" * 39, "", " ", "+", "--1", "1 2", "1,5", "- 1", "abc", "true", "\xa01", "1\u2003", "\u0661", "\uff11",
    "\x1c1", "1\x1f", "\x851", "1\0",
)  # fmt: skip
DOUBLES = (
    "1.", "+.5", ".", "1.5e+5", "1E5", "1e", "e5", "1e5.5", "1e400", "-1e-400", "1e0005", "inf", "-Infinity", "+iNf",
    "infin", "NaN", "-nan", "1d", "1__0", "_1", "1_", "0." + "1" * 400,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["DOUBLE", "HUGEINT", "BIGINT", "UBIGINT", "TINYINT"])
def test_texts_as_numbers(kind: str) -> None:
    convert = cast("VARCHAR", kind)
    assert convert is not None
    for text in (*TEXTS, *(DOUBLES if kind == "DOUBLE" else ())):
        try:
            (expected,) = duckdb.execute(f"SELECT CAST(?::VARCHAR AS {kind})", [text]).fetchone() or ()
        except duckdb.Error:
            with pytest.raises(QueryFailed):
                print(ascii(text), convert(text))
        else:
            assert repr(convert(text)) == repr(expected), ascii(text)


@pytest.mark.parametrize(
    ("text", "kind"), [("1.5", "BIGINT"), ("1e5", "BIGINT"), ("0x10", "BIGINT"), ("1_0", "BIGINT"), ("1_0", "DOUBLE")]
)
def test_texts_that_are_a_mistake_more_often(text: str, kind: str) -> None:
    """docs/sql.md has them among the differences."""
    convert = cast("VARCHAR", kind)
    assert convert is not None
    with pytest.raises(QueryFailed, match=f"is no {kind}"):
        convert(text)
