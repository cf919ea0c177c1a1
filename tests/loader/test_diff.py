"""Keys and columns that differ between two versions are counted and shown."""

import msgspec
import pytest

from havok.errors import LoadError, NoSuchVersion
from loader import diff
from tests.loader.conftest import SMALL, Desk


def test_keys_and_columns_that_changed(desk: Desk) -> None:
    before = desk.load(
        "SELECT i AS id, 'n' || i AS n, 1 AS old, i::INTEGER AS m, NULL::DOUBLE AS d FROM range(100) r(i)"
    )
    after = desk.load(
        """SELECT i AS id, CASE WHEN i < 20 THEN 'x' ELSE 'n' || i END AS n, TIMESTAMPTZ '2020-01-01 00:00:00+00' AS t,
                  (i + CASE WHEN i = 99 THEN 1 ELSE 0 END)::BIGINT AS m, NULL::DOUBLE AS d FROM range(10, 107) r(i)"""
    )
    found = diff.diff(desk.data_dir, "things", before.version, after.version, SMALL)
    assert (found.rows_before, found.rows_after) == (100, 97)
    assert (found.added, found.removed, found.changed, found.unchanged) == (7, 10, 11, 79)
    assert [msgspec.json.decode(key) for key in found.added_keys] == [{"id": i} for i in range(100, 105)]
    assert [msgspec.json.decode(key) for key in found.removed_keys] == [{"id": i} for i in range(5)]
    assert [msgspec.json.decode(key) for key in found.changed_keys] == [{"id": i} for i in range(10, 15)]
    assert found.changed_columns == {"n": 10, "m": 1}
    assert found.drift == after.drift
    assert set(found.drift) == {
        "column old removed (was INTEGER)",
        "column t added (TIMESTAMP WITH TIME ZONE)",
        "column m changed type from INTEGER to BIGINT",
    }
    msgspec.json.encode(found)


def test_equal_versions_and_compound_keys(desk: Desk) -> None:
    select = "SELECT i % 3 AS a, i AS b, [i, NULL] AS l, {'x': 'nan'::DOUBLE} AS s FROM range(30) r(i)"
    one, two = (desk.load(select, key=("a", "b")).version for _ in range(2))
    found = diff.diff(desk.data_dir, "things", one[:16], two[:16], SMALL)
    assert (found.unchanged, found.changed, found.added, found.removed) == (30, 0, 0, 0)
    assert desk.traces().count(".build") == 0


def test_what_cannot_be_compared(desk: Desk) -> None:
    one = desk.load("SELECT 1 AS id").version
    two = desk.load("SELECT 1 AS other", key=("other",)).version
    with pytest.raises(LoadError, match="has no column other, part of the key"):
        diff.diff(desk.data_dir, "things", one, two, SMALL)
    with pytest.raises(NoSuchVersion):
        diff.diff(desk.data_dir, "things", one, "nope", SMALL)
