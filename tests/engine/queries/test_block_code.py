"""Queries over blocks: when, and that they answer and page as queries over rows do."""

from collections.abc import Iterator
from typing import Any

import lmdb
import msgspec
import pytest

from engine.queries import query_program
from engine.queries.block_code import has_blocks
from engine.queries.block_scan import BlockChunk
from engine.queries.query_program import CompiledQuery
from engine.snapshot import Snapshot, open_snapshot
from engine.sql.front import compile_sql
from havok.blocks import WORDS_DB
from havok.errors import DamagedVersion, TooManyRows
from havok.manifest import ROWS_FILE
from havok.settings import DatasetSettings
from tests.engine.oracle import Oracle, without_blocks
from tests.engine.selecting import program_of

SELECT = """
    SELECT 'k' || i % 3 AS k, i AS n, (i * 7) % 11 AS v, CASE WHEN i % 4 > 0 THEN i % 5 END AS maybe,
           'w' || i % 6 AS word, [i] AS items, i % 2 AS side
    FROM range(100) r(i)
"""


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle(7)
    found.snapshots["t"], _ = found.built("t", SELECT, DatasetSettings(key=("k", "n"), indexes={"by_side": ("side",)}))
    names = "SELECT DISTINCT 'w' || i AS word, 'word ' || i AS said FROM range(4) r(i)"
    found.snapshots["o"], _ = found.built("o", names, DatasetSettings(key=("word",)))
    yield found
    found.close()


def compiled(oracle: Oracle, text: str) -> CompiledQuery:
    return CompiledQuery(compile_sql(text, oracle.manifests, {}).query, "q", [])


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("SELECT v, word FROM t WHERE k = 'k1'", True),
        ("SELECT v FROM t WHERE side = 1 ORDER BY maybe LIMIT 3", True),
        ("SELECT count(*) AS c FROM t WHERE k = 'k1'", True),
        ("SELECT v FROM t WHERE k = 'k1' AND n = 1", False),  # one row
        ("SELECT items FROM t WHERE k = 'k1'", False),  # a list is not packed
        ("SELECT v FROM t WHERE k = 'k1' AND items IS NOT NULL", False),
        ("SELECT v, count(items) AS c FROM t WHERE k = 'k1' GROUP BY v", False),
        ("SELECT v FROM t WHERE k = 'k1' ORDER BY items IS NULL, v LIMIT 3", False),
        ("SELECT said FROM o WHERE word > 'w1'", False),  # a key of one column has no blocks
        ("SELECT t.v, o.said FROM t JOIN o ON o.word = t.word WHERE t.k = 'k1'", True),
    ],
)
def test_when_blocks_are_read(oracle: Oracle, text: str, blocks: bool) -> None:
    asked = compiled(oracle, text).query
    assert has_blocks(asked, oracle.manifests[asked.seek.dataset]) is blocks


def page(oracle: Oracle, asked: CompiledQuery, after: Any) -> tuple[list[Any], Any]:
    reading = asked.bind(oracle.snapshots, 1000)(after=after)
    rows: list[Any] = []
    try:
        while True:
            rows += next(reading)
    except StopIteration as end:
        return msgspec.json.decode(asked.answer.json(rows)), end.value


TAILS = [
    "k = 'k1' LIMIT 4",
    "k = 'k1' ORDER BY n DESC LIMIT 4",
    "k IN ('k0', 'k2') LIMIT 13",
    "k = 'k1' ORDER BY v LIMIT 4",
    "k = 'k1' ORDER BY v DESC, word LIMIT 4",
    "k = 'k1' AND maybe > 1 ORDER BY maybe DESC LIMIT 3",
    "k = 'k1' ORDER BY maybe NULLS FIRST LIMIT 3",
    "k >= 'k0' ORDER BY v + n LIMIT 9",
    "side = 1 LIMIT 6",
    "side = 0 ORDER BY word LIMIT 6",
    "side = 0 ORDER BY side DESC, k DESC LIMIT 6",
]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(
    "select",
    [
        "SELECT k, n, v, maybe, word FROM t WHERE",
        "SELECT n, v * 2 AS twice FROM t WHERE",
        "SELECT n, said FROM t LEFT JOIN o ON o.word = t.word WHERE",
    ],
)
def test_a_cursor_of_one_way_goes_on_in_the_other(oracle: Oracle, select: str, tail: str) -> None:
    """A version without blocks may follow one that has them, and the other way round."""
    asked = compiled(oracle, f"{select} {tail}".replace(" word", " t.word"))
    assert has_blocks(asked.query, oracle.manifests["t"])
    wanted, after = [], None
    with without_blocks(oracle.snapshots["t"]):
        while True:
            rows, after = page(oracle, asked, after)
            wanted.append((rows, after))
            if after is None:
                break
    assert len(wanted) > 2
    for (_, before), (rows, following) in zip([(None, None), *wanted], wanted, strict=False):
        assert page(oracle, asked, before) == (rows, following)


def test_rows_that_wait_to_be_sorted_are_bounded(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(query_program._RUNTIME, "HELD_BYTES_MAX", 20 * query_program.KEPT_BYTES)
    for tail, rows in (("ORDER BY v LIMIT 30", "k = 'k1'"), ("ORDER BY v", "k = 'k1'")):
        with pytest.raises(TooManyRows, match="to be sorted"):
            page(oracle, compiled(oracle, f"SELECT n FROM t WHERE {rows} {tail}"), None)
    found, _ = page(oracle, compiled(oracle, "SELECT n FROM t WHERE k = 'k1' AND n < 50 ORDER BY v"), None)
    assert len(found) == 17


def test_wide_rows_that_wait_are_fewer(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(query_program._RUNTIME, "HELD_BYTES_MAX", 40 * query_program.KEPT_BYTES)
    wide = ", ".join(f"word AS w{number}" for number in range(30))
    found, _ = page(oracle, compiled(oracle, "SELECT word FROM t WHERE k = 'k1' ORDER BY v"), None)
    assert len(found) == 33
    with pytest.raises(TooManyRows, match="to be sorted"):
        page(oracle, compiled(oracle, f"SELECT {wide} FROM t WHERE k = 'k1' ORDER BY v"), None)
    found, _ = page(oracle, compiled(oracle, f"SELECT {wide} FROM t WHERE k = 'k1' ORDER BY v LIMIT 40"), None)
    assert len(found) == 33  # of those only what they are sorted by


@pytest.mark.parametrize("tail", ["ORDER BY v LIMIT 3", "AND maybe > 0 ORDER BY v + n LIMIT 3"])
def test_values_that_were_looked_at_are_let_go_of(oracle: Oracle, tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a page of rows waits for others, however many are read."""
    kept: list[BlockChunk] = []
    monkeypatch.setitem(query_program._RUNTIME, "key_of", lambda chunks, _: kept.extend(chunks) or b"")
    page(oracle, compiled(oracle, f"SELECT n, word FROM t WHERE k >= 'k0' {tail}"), None)
    assert len(kept) > 3
    assert [chunk.columns for chunk in kept] == [[]] * len(kept)


def test_a_chunk_has_fewer_rows_where_they_are_wide(oracle: Oracle) -> None:
    """A loop is held for one chunk at a time."""
    names = [f"c{number}" for number in range(100)]
    wide = ", ".join(f"TIMESTAMP '2024-01-01' + to_seconds(i) AS {name}" for name in names)
    built, twin = oracle.built(
        "wide", f"SELECT 'k' AS k, i AS n, {wide} FROM range(50) r(i)", DatasetSettings(key=("k", "n"))
    )
    built.release()
    snapshot = open_snapshot(twin.parent)
    text = f"SELECT {', '.join(names)} FROM wide WHERE k = 'k'"
    asked = CompiledQuery(compile_sql(text, {"wide": snapshot.manifest}, {}).query, "q", [])
    sizes = [len(rows) for rows in asked.bind({"wide": snapshot}, 1000)() if rows]
    snapshot.release()
    assert sum(sizes) == 50
    assert max(sizes) * len(names) <= query_program.CHUNK_VALUES


def test_damaged_words_refuse_the_program_and_leave_no_lease(oracle: Oracle) -> None:
    built, twin = oracle.built("d", SELECT, DatasetSettings(key=("k", "n")))
    built.release()
    path = twin.parent / ROWS_FILE
    with (
        lmdb.open(str(path), subdir=False, lock=False, max_dbs=8) as environment,
        environment.begin(write=True, db=environment.open_db(WORDS_DB)) as transaction,
    ):
        transaction.put(b"word", b"? these are no words")
    snapshot = Snapshot(twin.parent, built.manifest)
    with pytest.raises(DamagedVersion):
        program_of("SELECT word FROM d WHERE k = 'k1'", snapshot)
    program = program_of("SELECT v FROM d WHERE k = 'k1'", snapshot)
    program.close()
    snapshot.release()
    assert snapshot.closed


def test_an_offset_is_passed_over_once(oracle: Oracle) -> None:
    asked = compiled(oracle, "SELECT n FROM t WHERE k = 'k1' ORDER BY v DESC, n LIMIT 10 OFFSET 8")
    found, after = page(oracle, asked, None)
    more, _ = page(oracle, asked, after)
    numbers = sorted((-(i * 7 % 11), i) for i in range(100) if i % 3 == 1)
    assert [row["n"] for row in found + more] == [n for _, n in numbers][8:28]
