"""What the gates ask and how they judge, without a database."""

import pytest

from havok.keys import KeyColumn
from havok.manifest import Column, GateResult
from havok.settings import QualitySettings
from loader import quality
from loader.schema import Schema

SCHEMA = Schema(
    columns=(Column("id", "BIGINT"), Column("at", "TIMESTAMP"), Column("n", "DOUBLE")),
    key=(KeyColumn("id", "int"), KeyColumn("at", "timestamp")),
)


def test_probes_ask_for_keys_nulls_and_checks() -> None:
    found = quality.probes(SCHEMA, QualitySettings(not_null=("n",), check=("n > 0",)))
    assert [(probe.rule, probe.offends) for probe in found] == [
        ("key id is not NULL", '"id" IS NULL'),
        ("key at is not NULL", '"at" IS NULL'),
        ("key at is finite", 'NOT isfinite("at")'),
        ("not_null n", '"n" IS NULL'),
        ("check n > 0", "NOT (\nn > 0\n)"),
    ]


@pytest.mark.parametrize(
    ("rows", "live", "failed"),
    [
        (100, 100, []),
        (150, 100, []),
        (151, 100, ["max_row_change 0.5"]),
        (49, 100, ["max_row_change 0.5"]),
        (9, None, ["min_rows 10"]),
        (9, 0, ["min_rows 10"]),
        (9, 100, ["min_rows 10", "max_row_change 0.5"]),
    ],
)
def test_counts_are_judged(rows: int, live: int | None, failed: list[str]) -> None:
    results = quality.judge(QualitySettings(min_rows=10, max_row_change=0.5), rows, live, {})
    assert [result.rule for result in results if not result.passed] == failed


def test_offending_rows_fail_their_rule() -> None:
    results = quality.judge(QualitySettings(), 10, None, {"a": 0, "b": 1, "c": 3})
    assert [(r.rule, r.passed, r.detail) for r in results] == [
        ("a", True, "0 rows of 10"),
        ("b", False, "1 row of 10"),
        ("c", False, "3 rows of 10"),
    ]


def test_refusal_shows_each_failed_rule_and_five_short_rows() -> None:
    results = [GateResult("fine", True, "0 rows"), GateResult("check x", False, "9 rows of 10")]
    shown = quality.refusal("things", results, {"check x": ["row " + "y" * 500] * 9})
    lines = shown.splitlines()
    assert lines[0] == "things: the candidate was refused and nothing changed"
    assert lines[1] == "gate `check x` failed: 9 rows of 10"
    assert len(lines) == 2 + quality.EXAMPLES_MAX
    assert all(len(line) <= quality.EXAMPLE_CHARS_MAX + 4 for line in lines[2:])
