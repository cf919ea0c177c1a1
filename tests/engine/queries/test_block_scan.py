"""Ranges over blocks: the rows that a range of rows has, in its order, whatever the ends."""

from collections.abc import Iterator

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.queries.block_scan import BlockScan, key_of, late_rows
from engine.snapshot import Snapshot, open_snapshot
from havok.blocks import Blocks
from havok.errors import StoreDown, TooManyRows
from havok.keys import encode
from havok.manifest import ROWS_FILE
from havok.settings import DatasetSettings
from tests.engine.oracle import Oracle

ROWS = 23
BLOCK_ROWS = 4
ENDS = st.integers(-1, ROWS + 1)


REPORTED: list[str] = []


@pytest.fixture(scope="module")
def opened() -> Iterator[Snapshot]:
    oracle = Oracle(BLOCK_ROWS)
    select = f"SELECT 'k' AS k, 2 * i AS n, 'w' || i % 3 AS w, i * 1.5::DOUBLE AS x FROM range({ROWS}) r(i)"
    built, twin = oracle.built("t", select, DatasetSettings(key=("k", "n")))
    built.release()
    snapshot = open_snapshot(twin.parent, lambda _, reason: REPORTED.append(reason))
    yield snapshot
    snapshot.release()
    oracle.close()


def scan(snapshot: Snapshot, rows_max: int = 1000, sizes: tuple[int, int] = (3, 3)) -> BlockScan:
    return BlockScan(snapshot, None, rows_max, (["n"], ["x", "w"]), sizes)


def key(n: int) -> bytes:
    return encode(["string", "int"], ["k", n])


@given(
    low=ENDS, high=ENDS, reverse=st.booleans(), first=st.integers(1, 5), most=st.integers(1, 9), open_end=st.booleans()
)
def test_a_range_has_its_rows(
    opened: Snapshot, low: int, high: int, reverse: bool, first: int, most: int, open_end: bool
) -> None:
    """Ends on rows and between them; chunks shorter and longer than blocks."""
    chunks = list(
        scan(opened, sizes=(first, most)).ranges([(key(low), None if open_end else key(high))], reverse=reverse)
    )
    wanted = [2 * i for i in range(ROWS) if low <= 2 * i and (open_end or 2 * i < high)]
    wanted = wanted[::-1] if reverse else wanted
    assert [n for chunk in chunks for n in chunk.columns[0]] == wanted
    assert [stored for chunk in chunks for stored in iter(chunk.keys())] == [key(n) for n in wanted]
    assert [number for chunk in chunks for number in chunk.numbers] == list(range(len(wanted)))
    assert [key_of(chunks, number) for number in range(len(wanted))] == [key(n) for n in wanted]
    assert all(chunk.more for chunk in chunks[:-1])
    numbers = list(range(len(wanted)))[::-2]
    late = late_rows(opened, chunks, numbers)
    assert [float(x) for x, _ in late] == [wanted[number] * 0.75 for number in numbers]
    assert [w for _, w in late] == [f"w{wanted[number] // 2 % 3}" for number in numbers]


def test_several_ranges_go_on_counting(opened: Snapshot) -> None:
    chunks = list(scan(opened).ranges([(key(0), key(5)), (key(90), key(99)), (key(40), None)]))
    assert [n for chunk in chunks for n in chunk.columns[0]] == [0, 2, 4, 40, 42, 44]
    assert [number for chunk in chunks for number in chunk.numbers] == list(range(6))


@pytest.mark.parametrize("reverse", [False, True])
def test_as_many_rows_as_allowed_and_no_more(opened: Snapshot, reverse: bool) -> None:
    assert sum(len(c.numbers) for c in scan(opened, ROWS).ranges([(b"", None)], reverse=reverse)) == ROWS
    reading = scan(opened, ROWS - 1).ranges([(b"", None)], reverse=reverse)
    with pytest.raises(TooManyRows, match="more than 22 rows"):
        list(reading)


def test_a_reader_who_has_enough_meets_no_bound(opened: Snapshot) -> None:
    reading = scan(opened, 3).ranges([(b"", None)])
    assert len(next(reading).numbers) == 3


def test_a_damaged_block_is_not_served_and_reported(opened: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = list(scan(opened).ranges([(b"", None)]))
    monkeypatch.setattr("havok.blocks.crc32", lambda *_: 0)  # as if bits had flipped on the disk
    with pytest.raises(StoreDown, match="damaged and was not served"):
        list(scan(opened).ranges([(b"", None)]))
    with pytest.raises(StoreDown, match="damaged and was not served"):
        late_rows(opened, chunks, [1])
    assert REPORTED == ["a block of columns failed its checksum"] * 2


@pytest.mark.parametrize("index", [None, "by_n"])
@pytest.mark.parametrize("lost", [0, 2, 5])
def test_a_block_that_is_not_found_is_missed(index: str | None, lost: int) -> None:
    """As where a fault in a branch page leads past it: whatever else is read is whole."""
    oracle = Oracle(BLOCK_ROWS)
    select = f"SELECT 'k' AS k, 2 * i AS n FROM range({ROWS}) r(i)"
    built, twin = oracle.built("t", select, DatasetSettings(key=("k", "n"), indexes={"by_n": ("n",)}))
    built.release()
    with (
        lmdb.open(str(twin.parent / ROWS_FILE), subdir=False, lock=False, max_dbs=8) as environment,
        environment.begin(write=True, db=environment.open_db(Blocks.database(index))) as transaction,
    ):
        transaction.delete(list(transaction.cursor().iternext(values=False))[lost])
    reported: list[str] = []
    snapshot = Snapshot(twin.parent, built.manifest, lambda _, reason: reported.append(reason))
    scan = BlockScan(snapshot, index, 1000, (["n"], []), (3, 3))
    (first, *_, last) = [stored for stored, _ in snapshot.cursor_of(index)()]
    for ends in ((b"", None), (first, last + b"\0")):
        for reverse in (False, True):
            with pytest.raises(StoreDown, match="damaged and was not served"):
                list(scan.ranges([ends], reverse=reverse))
    assert reported == ["blocks of columns are not where the rows are"] * 4
    snapshot.release()
    oracle.close()
