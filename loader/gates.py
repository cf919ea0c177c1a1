"""Running the quality gates on a twin.

Rule: one aggregate pass asks every question at once; offending rows are fetched only
when a gate failed. Which questions, and what the answers mean, is `loader.quality`.
"""

import msgspec

from havok.errors import GateFailed, LoadError
from havok.manifest import GateResult
from havok.settings import QualitySettings
from loader import duck, quality, render
from loader.schema import Schema
from loader.twin import Twin

_COUNT = '"havok count"'  # a name that no column has


class Report(msgspec.Struct, frozen=True):
    results: tuple[GateResult, ...]
    nonfinite: int


def run(
    connection: duck.Session,
    candidate: Twin,
    schema: Schema,
    settings: QualitySettings,
    *,
    dataset: str,
    live_rows: int | None,
) -> Report:
    """Every gate but the unique key, which the row writer finds for nothing. Raises GateFailed.

    When one fails, the key is checked too, so that all reasons are reported together.
    """
    probes = quality.probes(schema, settings)
    counts = ", ".join(f"count(*) FILTER (WHERE {probe.offends})" for probe in probes)
    try:
        rows, nonfinite, *found = duck.one(
            connection,
            f"SELECT count(*), {render.nonfinite(candidate.columns)}{', ' + counts if counts else ''}"
            f" FROM {candidate.table}",
        )
    except LoadError as error:
        raise _unusable_check(connection, candidate, probes, error) from None
    offending = {probe.rule: int(count) for probe, count in zip(probes, found, strict=True)}
    results = quality.judge(settings, int(rows), live_rows, offending)
    if not all(result.passed for result in results):
        duplicates = duplicate_keys(connection, candidate.table, candidate, schema)
        examples = {
            probe.rule: _examples(connection, candidate, probe.offends) for probe in probes if offending[probe.rule]
        }
        examples[quality.UNIQUE] = duplicates.examples
        raise GateFailed(quality.refusal(dataset, (*results, duplicates.result), examples))
    return Report(results=results, nonfinite=int(nonfinite or 0))


class Duplicates(msgspec.Struct, frozen=True):
    result: GateResult
    examples: tuple[str, ...]


def duplicate_keys(connection: duck.Session, table: str, candidate: Twin, schema: Schema) -> Duplicates:
    """The unique key gate: how many rows share their key with another, and some of them."""
    keys = duck.names([column.name for column in schema.key])
    groups = f"SELECT {keys}, count(*) AS {_COUNT} FROM {table} GROUP BY {keys} HAVING count(*) > 1"
    rows, shared = duck.one(connection, f"SELECT coalesce(sum({_COUNT}), 0)::BIGINT, count(*) FROM ({groups})")
    examples: tuple[str, ...] = ()
    if rows:
        some = f"SELECT {keys} FROM ({groups}) ORDER BY {keys} LIMIT {quality.EXAMPLES_MAX}"
        columns = [duck.name(column.name) for column in schema.key]
        same = " AND ".join(f"t.{column} IS NOT DISTINCT FROM d.{column}" for column in columns)
        shown = f"SELECT t.* FROM {table} t SEMI JOIN ({some}) d ON {same} ORDER BY {keys} LIMIT {quality.EXAMPLES_MAX}"
        examples = _rows(connection, f"SELECT {render.row_json(candidate.columns)} FROM ({shown})")
    detail = f"{rows} rows share {shared} key{'s' if shared != 1 else ''}" if rows else "no key stands twice"
    return Duplicates(result=GateResult(rule=quality.UNIQUE, passed=not rows, detail=detail), examples=examples)


def refuse_duplicates(connection: duck.Session, candidate: Twin, schema: Schema, dataset: str) -> GateFailed:
    """The error for a candidate in which the row writer met a key twice."""
    found = duplicate_keys(connection, candidate.table, candidate, schema)
    return GateFailed(quality.refusal(dataset, [found.result], {quality.UNIQUE: found.examples}))


UNIQUE_PASSED = GateResult(rule=quality.UNIQUE, passed=True, detail="no key stands twice")


def _examples(connection: duck.Session, candidate: Twin, offends: str) -> tuple[str, ...]:
    shown = f"SELECT * FROM {candidate.table} WHERE {offends} LIMIT {quality.EXAMPLES_MAX}"
    return _rows(connection, f"SELECT {render.row_json(candidate.columns)} FROM ({shown})")


def _rows(connection: duck.Session, sql: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in duck.rows(connection, sql))


def _unusable_check(
    connection: duck.Session, candidate: Twin, probes: tuple[quality.Probe, ...], error: LoadError
) -> LoadError:
    """Which of the questions cannot be asked."""
    for probe in probes:
        try:
            duck.rows(connection, f"SELECT count(*) FILTER (WHERE {probe.offends}) FROM {candidate.table} LIMIT 0")
        except LoadError as reason:
            return LoadError(f"gate `{probe.rule}` cannot run: {reason.detail}")
    return error
