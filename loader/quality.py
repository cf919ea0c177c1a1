"""Quality gates: what is asked of a candidate, and the verdict.

Rule: decisions only. `probes` says which rows offend, as SQL conditions; whoever runs
them hands the counts to `judge`. A NULL passes a check, as in SQL's own CHECK.
"""

from collections.abc import Mapping, Sequence

import msgspec

from havok.manifest import GateResult
from havok.settings import QualitySettings
from loader import duck
from loader.schema import Schema

EXAMPLES_MAX = 5
EXAMPLE_CHARS_MAX = 160
UNIQUE = "unique key"


class Probe(msgspec.Struct, frozen=True):
    """`offends`: an SQL condition that is TRUE for a row that breaks the rule."""

    rule: str
    offends: str


def probes(schema: Schema, quality: QualitySettings) -> tuple[Probe, ...]:
    """The gates that single rows can fail: keys present and finite, not_null, check."""
    missing = [Probe(f"key {column.name} is not NULL", f"{duck.name(column.name)} IS NULL") for column in schema.key]
    endless = [
        Probe(f"key {column.name} is finite", f"NOT isfinite({duck.name(column.name)})")
        for column in schema.key
        if column.kind in ("date", "timestamp")
    ]
    wanted = [Probe(f"not_null {column}", f"{duck.name(column)} IS NULL") for column in quality.not_null]
    checks = [Probe(f"check {condition}", f"NOT (\n{condition}\n)") for condition in quality.check]
    return (*missing, *endless, *wanted, *checks)


def judge(
    quality: QualitySettings, rows: int, live_rows: int | None, offending: Mapping[str, int]
) -> tuple[GateResult, ...]:
    """Verdicts in the order they are reported; `offending`: rule → number of rows that break it."""
    results: list[GateResult] = []
    if quality.min_rows is not None:
        results.append(
            GateResult(
                rule=f"min_rows {quality.min_rows}",
                passed=rows >= quality.min_rows,
                detail=f"the candidate has {rows} rows",
            )
        )
    if quality.max_row_change is not None and live_rows:
        change = abs(rows - live_rows) / live_rows
        results.append(
            GateResult(
                rule=f"max_row_change {quality.max_row_change:g}",
                passed=change <= quality.max_row_change,
                detail=f"{rows} rows against {live_rows} in the live version, a change of {change:.1%}",
            )
        )
    results.extend(
        GateResult(rule=rule, passed=count == 0, detail=f"{count} row{'s' if count != 1 else ''} of {rows}")
        for rule, count in offending.items()
    )
    return tuple(results)


def refusal(dataset: str, results: Sequence[GateResult], examples: Mapping[str, Sequence[str]]) -> str:
    """What a person reads when gates fail: each rule, its count, up to five offending rows."""
    lines = [f"{dataset}: the candidate was refused and nothing changed"]
    for result in results:
        if result.passed:
            continue
        lines.append(f"gate `{result.rule}` failed: {result.detail}")
        lines.extend(f"    {shorten(row)}" for row in examples.get(result.rule, ())[:EXAMPLES_MAX])
    return "\n".join(lines)


def shorten(row: str) -> str:
    return row if len(row) <= EXAMPLE_CHARS_MAX else row[: EXAMPLE_CHARS_MAX - 1] + "…"
