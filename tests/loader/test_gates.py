"""Bad data is blocked by the named rule, with the offending rows shown (FAULTS 13)."""

import pytest

from havok.errors import GateFailed, LoadError
from havok.settings import QualitySettings
from tests.loader.conftest import Desk


def test_duplicate_keys_are_shown(desk: Desk) -> None:
    desk.csv("a.csv", ["id", "n"], [[1, "a"], [2, "b"], [1, "c"], [3, "d"], [3, "e"]])
    with pytest.raises(GateFailed) as caught:
        desk.load("a.csv")
    assert caught.value.detail.splitlines() == [
        "things: the candidate was refused and nothing changed",
        "gate `unique key` failed: 4 rows share 2 keys",
        '    {"id":1,"n":"a"}',
        '    {"id":1,"n":"c"}',
        '    {"id":3,"n":"d"}',
        '    {"id":3,"n":"e"}',
    ]
    assert desk.traces() == []


def test_null_in_a_key_shows_the_row(desk: Desk) -> None:
    desk.csv("a.csv", ["id", "n"], [[1, "a"], ["", "lost"]])
    with pytest.raises(GateFailed, match="gate `key id is not NULL` failed: 1 row of 2") as caught:
        desk.load("a.csv")
    assert '{"id":null,"n":"lost"}' in caught.value.detail


def test_all_failing_gates_are_reported_together(desk: Desk) -> None:
    desk.csv("a.csv", ["id", "lat", "name"], [[i, i, "x"] for i in range(10)])
    desk.load("a.csv")
    before = desk.live
    desk.csv("a.csv", ["id", "lat", "name"], [[1, 99, "x"], [1, 1, ""], [2, -99, ""]])
    quality = QualitySettings(
        min_rows=5, max_row_change=0.5, not_null=("name",), check=("lat BETWEEN -90 AND 90", "name <> 'y'")
    )
    with pytest.raises(GateFailed) as caught:
        desk.load("a.csv", quality=quality)
    for said in (
        "gate `min_rows 5` failed: the candidate has 3 rows",
        "gate `max_row_change 0.5` failed: 3 rows against 10 in the live version, a change of 70.0%",
        "gate `not_null name` failed: 2 rows of 3",
        "gate `check lat BETWEEN -90 AND 90` failed: 2 rows of 3",
        "gate `unique key` failed: 2 rows share 1 key",
        '{"id":2,"lat":-99,"name":null}',
    ):
        assert said in caught.value.detail
    assert "name <> 'y'" not in caught.value.detail
    assert desk.live == before
    assert len([name for name in desk.traces() if name.startswith("2")]) == 1


def test_results_go_into_the_manifest(desk: Desk) -> None:
    desk.csv("a.csv", ["id", "n"], [[1, 1]])
    result = desk.load("a.csv", quality=QualitySettings(min_rows=1, check=("n = 1",)))
    rules = ["min_rows 1", "key id is not NULL", "check n = 1", "unique key"]
    assert [gate.rule for gate in result.gates] == rules
    assert desk.manifest().gates == result.gates
    assert all(gate.passed for gate in result.gates)


@pytest.mark.parametrize("check", ["nope > 1", "n >", "count(*) > 1"])
def test_a_check_that_cannot_run_is_named(desk: Desk, check: str) -> None:
    desk.csv("a.csv", ["id", "n"], [[1, 1]])
    with pytest.raises(LoadError, match=r"gate `check .*` cannot run"):
        desk.load("a.csv", quality=QualitySettings(check=(check,)))


def test_infinite_dates_are_no_keys(desk: Desk) -> None:
    with pytest.raises(GateFailed, match="gate `key id is finite` failed: 1 row of 1"):
        desk.load("SELECT 'infinity'::DATE AS id")
