"""A cursor is of the parameters it was made with, but for those of LIMIT and OFFSET: in blocks and in rows."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from engine.snapshot import Snapshot
from havok.errors import BadParam
from havok.settings import DatasetSettings
from tests.engine.oracle import Oracle, without_blocks
from tests.engine.pages import Service

ROWS = """SELECT i::INTEGER AS id, chr((97 + i % 2)::INTEGER) AS k, i % 7 AS v, (i / 4)::DECIMAL(9, 2) AS d,
    (i || '00000000000000000001')::DECIMAL(38, 0) AS h, DATE '2013-01-01' + i::INTEGER AS day FROM range(60) AS r(i)"""
IN_SCAN_ORDER = "SELECT id FROM t WHERE k = :k AND id > :after LIMIT :size OFFSET :skip"
SORTED = "SELECT id FROM t WHERE k = :k AND id > :after ORDER BY v LIMIT :size OFFSET :skip"
GROUPED = "SELECT v, count(*) AS n FROM t WHERE k = :k AND id > :after GROUP BY v ORDER BY v LIMIT :size OFFSET :skip"


@pytest.fixture(scope="module")
def snapshots() -> Iterator[dict[str, Snapshot]]:
    oracle = Oracle()
    settings = DatasetSettings(key=("id",), indexes={"by_k": ("k",), "by_h": ("h",)})
    found = {"t": oracle.built("t", ROWS, settings)[0]}
    yield found
    found["t"].release()
    oracle.close()


@pytest.mark.parametrize("by_block", [True, False])
@pytest.mark.parametrize("sql", [IN_SCAN_ORDER, SORTED, GROUPED])
def test_a_cursor_of_other_parameters(snapshots: dict[str, Snapshot], sql: str, by_block: bool) -> None:
    with nullcontext() if by_block else without_blocks(*snapshots.values()), Service(sql, snapshots).on(snapshots) as q:
        first, cursor = q.page(k="a", after=0, size=2, skip=1)
        for other in ({"k": "b", "after": 0}, {"k": "a", "after": 1}):
            with pytest.raises(BadParam, match="made with other parameters; send the same again") as caught:
                q.page(cursor, size=2, skip=1, **other)
            assert (caught.value.param, caught.value.rule) == ("cursor", "cursor")
        second, _ = q.page(cursor, k="a", after="0", size=3, skip=0)
        whole, _ = q.page(k="a", after=0, size=5, skip=1)
        assert first + second == whole


@pytest.mark.parametrize(
    ("where", "value", "other"),
    [
        ("id IN (:x)", "1,2,3,4", "1,2,3,5"),
        ("h > :x", "100000000000000000000", "100000000000000000001"),
        ("id > 0 AND CAST(h AS HUGEINT) > :x", "100000000000000000000", "100000000000000000001"),
        ("id > 0 AND d > :x", "1.25", "1.26"),
        ("id > 0 AND day > :x", "2013-01-02", "2013-01-03"),
        ("id > 0 AND day > CAST(:x AS TIMESTAMP)", "2013-01-02T00:00:00", "2013-01-02T00:00:01"),
        ("id > 0 AND v > CAST(:x AS DOUBLE)", "0.5", "0.25"),
    ],
)
def test_values_of_every_type(snapshots: dict[str, Snapshot], where: str, value: str, other: str) -> None:
    with Service(f"SELECT id FROM t WHERE {where} LIMIT 2", snapshots).on(snapshots) as q:
        _, cursor = q.page(x=value)
        assert cursor is not None
        q.page(cursor, x=value)
        with pytest.raises(BadParam, match="other parameters"):
            q.page(cursor, x=other)


def test_a_parameter_of_the_answer_or_the_order_decides_too(snapshots: dict[str, Snapshot]) -> None:
    for sql in (
        "SELECT id, v + CAST(:x AS BIGINT) AS n FROM t WHERE k = 'a' LIMIT 2",
        "SELECT id FROM t WHERE k = 'a' ORDER BY CASE WHEN :x > 1 THEN v ELSE id END LIMIT 2",
    ):
        with Service(sql, snapshots).on(snapshots) as q:
            _, cursor = q.page(x=1)
            with pytest.raises(BadParam, match="other parameters"):
                q.page(cursor, x=2)
