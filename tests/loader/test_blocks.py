"""Blocks of columns beside the rows: which columns, in which form, and that they say what rows say."""

from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import duckdb
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from havok.blocks import BLOCK_ROWS, WORDS_DB, Block, Blocks
from havok.packing import Packed, Unpacker
from havok.rows import unseal
from loader import blocks, duck, twin
from tests.loader.conftest import SMALL, Desk


def opened(desk: Desk, index: str | None = None) -> list[Block]:
    return [Block(key, memoryview(value)) for key, value in desk.entries(Blocks.database(index))]


def columns(desk: Desk, index: str | None = None) -> dict[str, list[Any]]:
    """Every packed column, whole, in the order of the key or of an index."""
    made = desk.manifest().blocks
    assert made is not None
    words = {key.decode(): msgspec.msgpack.decode(unseal(key, value) or b"") for key, value in desk.entries(WORDS_DB)}
    found: dict[str, list[Any]] = {packed.name: [] for packed in made.columns}
    for block in opened(desk, index):
        for number, packed in enumerate(made.columns, 1):
            unpack = Unpacker(packed, words.get(packed.name, ())).many
            found[packed.name] += unpack(block.section(number), block.count, 0, block.count)
    return found


def forms(desk: Desk) -> dict[str, Packed]:
    made = desk.manifest().blocks
    assert made is not None
    return {packed.name: packed for packed in made.columns}


EVERY_KIND = """
    SELECT i % 3 AS k, i AS n, (i * 37) % 256 AS small, i * 1_000_000_007 AS big,
           CASE WHEN i % 5 = 0 THEN NULL ELSE i - 20 END AS sometimes, NULL::INTEGER AS never,
           (i / 8)::DECIMAL(9, 3) AS price, i % 2 = 0 AS even, CASE WHEN i % 3 > 0 THEN i % 3 = 1 END AS maybe,
           DATE '2024-02-28' + (i % 9)::INTEGER AS day, TIMESTAMP '1969-12-31 23:59:59.999999' + to_hours(i) AS at,
           TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_minutes(i) AS zoned, i / 7 AS ratio, (i / 7)::FLOAT AS less,
           CASE i % 4 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'infinity'::DOUBLE ELSE i END AS odd,
           CASE WHEN i % 6 = 0 THEN 'infinity'::DATE ELSE DATE '2024-01-01' END AS endless,
           'w' || i % 4 AS word, CASE WHEN i % 4 > 0 THEN 'ü' || i % 4 END AS rare,
           (18446744073709551615 - i)::UBIGINT AS wide
    FROM range(1300) r(i)
"""


def test_blocks_say_what_rows_say(desk: Desk) -> None:
    desk.load(EVERY_KIND, key=("k", "n"), indexes={"by_small": ("sometimes", "word")})
    rows = desk.rows()
    found = columns(desk)
    assert set(found) == set(rows[0])
    plain = {
        name: msgspec.json.decode(msgspec.json.Encoder(decimal_format="number").encode(found[name])) for name in found
    }
    assert plain == {name: [row[name] for row in rows] for name in rows[0]}
    by_index = columns(desk, "by_small")
    assert [
        (some is None, some or 0, word) for some, word in zip(by_index["sometimes"], by_index["word"], strict=True)
    ] == (sorted((row["sometimes"] is None, row["sometimes"] or 0, row["word"]) for row in rows))


def test_keys_are_those_of_rows_and_entries(desk: Desk) -> None:
    desk.load(EVERY_KIND, key=("k", "n"), indexes={"by_day": ("day",)})
    for index, database in ((None, b"rows"), ("by_day", b"index/by_day")):
        keys = [key for block in opened(desk, index) for key in block.keys(0, block.count)]
        assert keys == [key for key, _ in desk.entries(database)]


def test_each_block_is_full_but_the_last(desk: Desk) -> None:
    """However DuckDB cuts its result: these are several of its batches."""
    desk.load("SELECT i // 1000 AS k, i AS n, md5(i::VARCHAR) AS t FROM range(300_001) r(i)", key=("k", "n"))
    counts = [block.count for block in opened(desk)]
    assert counts[:-1] == [BLOCK_ROWS] * (300_001 // BLOCK_ROWS)
    assert counts[-1] == 300_001 % BLOCK_ROWS
    assert forms(desk)["t"] == Packed("t", "text")
    assert columns(desk)["t"] == [row["t"] for row in desk.rows()]


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        ("(i % 256)::BIGINT", Packed("c", "int", "B")),
        ("nullif(i % 256, 7)::BIGINT", Packed("c", "int", "H", 256)),
        ("(i % 300 - 1)::BIGINT", Packed("c", "int", "h")),
        ("NULL::INTEGER", Packed("c", "int", "B", 1)),
        ("CASE WHEN i > 0 THEN 9223372036854775807 END", Packed("c", "int", "Q", 1 << 63)),
        ("CASE WHEN i > 0 THEN 9223372036854775807 ELSE -1 END", Packed("c", "int", "q")),
        ("(i / 4)::DECIMAL(18, 2)", Packed("c", "decimal", "I", None, 2)),
        ("i / 4", Packed("c", "double", "d")),
        ("CASE WHEN i > 0 THEN i / 4 END", Packed("c", "double", "d", 0)),
        ("DATE '2024-01-01'", Packed("c", "date", "H")),
        ("i > 3", Packed("c", "bool", "B")),
        ("'a' || i % 9", Packed("c", "word", "B")),
        ("'a' || i % 300", Packed("c", "word", "H")),
        ("NULL::VARCHAR", Packed("c", "word", "B")),
        ("md5(i::VARCHAR)", Packed("c", "text")),
        ("CASE WHEN i > 0 THEN md5(i::VARCHAR) END", Packed("c", "text", null=1)),
    ],
)
def test_the_form_follows_the_values(desk: Desk, value: str, packed: Packed) -> None:
    desk.load(f"SELECT i // 100 AS k, i AS n, {value} AS c FROM range(70_000) r(i)", key=("k", "n"))
    assert forms(desk)["c"] == packed
    assert columns(desk)["c"] != []


@pytest.mark.parametrize(
    "value",
    [
        "CASE i % 3 WHEN 0 THEN 18446744073709551615 WHEN 1 THEN 0::UBIGINT END",  # no integer is left for NULL
        "(i * 3)::DECIMAL(19, 2)",
        "repeat('x', 70) || i",
        "CASE WHEN i = 5 THEN repeat('x', 5000) ELSE 'y' END",
        "[i]",
        "{'a': i}",
        "encode('x')",
        "CAST('{}' AS JSON)",
        "DATE '12024-01-01'",
    ],
)
def test_what_has_no_small_form_stays_with_its_rows(desk: Desk, value: str) -> None:
    desk.load(f"SELECT i // 100 AS k, i AS n, {value} AS c FROM range(9000) r(i)", key=("k", "n"))
    assert set(forms(desk)) == {"k", "n"}


@pytest.mark.parametrize(
    ("key", "indexes", "orders"),
    [
        (("n",), {}, None),
        (("k", "n"), {}, (None,)),
        (("n",), {"by_k": ("k",)}, ("by_k",)),
        (("k", "n"), {"by_t": ("t",)}, (None,)),  # its entries may be hashed: no place is known by a key
        (("t", "n"), {"by_k": ("k",)}, None),
    ],
)
def test_which_orders_have_blocks(
    desk: Desk, key: tuple[str, ...], indexes: dict[str, tuple[str, ...]], orders: tuple[str | None, ...] | None
) -> None:
    desk.load("SELECT i // 3 AS k, i AS n, repeat('t', 600) || i AS t FROM range(9) r(i)", key=key, indexes=indexes)
    made = desk.manifest().blocks
    assert (None if made is None else made.orders) == orders


def test_columns_may_have_any_name(desk: Desk) -> None:
    """What is measured is told apart by its place, not by what stands in a name."""
    name = "coalesce(max(x), 0)"
    desk.load(f"""SELECT i // 3 AS k, i AS n, 'w' || i AS "{name}", i AS "x ""y" FROM range(9) r(i)""", key=("k", "n"))
    assert columns(desk)[name] == [f"w{i}" for i in range(9)]
    assert columns(desk)['x "y'] == list(range(9))


def test_words_that_are_long_together_are_no_words(desk: Desk) -> None:
    """Each worker would hold them."""
    desk.load("SELECT i // 9 AS k, i AS n, repeat('x', 300) || i % 1000 AS c FROM range(9000) r(i)", key=("k", "n"))
    assert "c" not in forms(desk)


def test_the_decimals_at_the_ends_of_64_bits(desk: Desk) -> None:
    digits = "9" * 18
    desk.load(
        f"SELECT 1 AS k, n, -0.{digits}::DECIMAL(18, 18) AS small, {digits}::DECIMAL(18, 0) AS big FROM range(3) r(n)",
        key=("k", "n"),
    )
    found = columns(desk)
    assert [str(value) for value in (*found["small"], *found["big"])] == [f"-0.{digits}"] * 3 + [digits] * 3


def test_a_query_that_fails_while_it_streams_is_duckdbs_error(desk: Desk) -> None:
    with duck.session(SMALL, desk.config_dir / "spill") as connection:
        made = blocks.Plan(frozenset(), Blocks((Packed("i", "int", "q"),), (None,)), ("i",))
        query = f"SELECT encode('k') AS {twin.ENCODING}, CASE WHEN i > 250_000 THEN error('no more') ELSE i END AS i"
        with pytest.raises(duckdb.Error, match="no more"):
            list(blocks.entries(connection, f"{query} FROM range(300_000) r(i)", made))


def test_a_ctrl_c_while_it_sorts_is_no_error_of_the_data() -> None:
    """DuckDB's RuntimeError is known to who publishes."""
    connection = Mock()
    connection.sql.return_value.__arrow_c_stream__ = Mock(side_effect=RuntimeError("Query interrupted"))
    made = blocks.Plan(frozenset(), Blocks((Packed("i", "int", "q"),), (None,)), ("i",))
    with pytest.raises(RuntimeError, match="interrupted"):
        list(blocks.entries(connection, "SELECT", made))


def test_an_empty_table_has_empty_blocks(desk: Desk) -> None:
    desk.load("SELECT 1 AS k, 2 AS n, 'x' AS t WHERE false", key=("k", "n"))
    assert opened(desk) == []
    assert {packed.form for packed in forms(desk).values()} == {"int", "word"}


WIDTHS = [
    ("B", 0, 255),
    ("b", -128, 127),
    ("H", 0, 65535),
    ("h", -32768, 32767),
    ("Q", 0, 2**64 - 1),
    ("q", -(2**63), 2**63 - 1),
]


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-(2**63), 2**64 - 1))
def test_the_narrowest_integer_that_holds_both(one: int, other: int) -> None:
    least, greatest = sorted((one, other))
    code = blocks.narrowest(least, greatest)
    fitting = [name for name, low, high in WIDTHS if low <= least and greatest <= high]
    assert (code is None) is (least < 0 and greatest >= 2**63)
    if code in ("B", "b", "H", "h"):
        assert code == fitting[0]


def test_blocks_are_in_order(desk: Desk) -> None:
    desk.load(EVERY_KIND, key=("k", "n"))
    keys = [block.key(place) for block in opened(desk) for place in range(block.count)]
    assert all(one < other for one, other in pairwise(keys))
