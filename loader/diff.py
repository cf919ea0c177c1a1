"""What changed between two versions: keys added, removed, changed; columns that drifted.

Rule: the twins are compared as sets by the key of the *second* version, in DuckDB, within
the loader's memory limit. A row has changed when a column both versions have differs
(NULL equals NULL); a column that only one has is drift, not a change of every row.
"""

from pathlib import Path

import duckdb
import msgspec

from havok import layout
from havok.errors import LoadError
from havok.manifest import TWIN_FILE, Manifest, read_manifest
from havok.settings import LoaderSettings
from loader import catalogue, duck, locks, render, schema, twin, workspace

EXAMPLES_MAX = 5


class DiffResult(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of keys and up to five of each, a key as the JSON object of its columns."""

    dataset: str
    before: str
    after: str
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    unchanged: int
    added_keys: tuple[msgspec.Raw, ...]
    removed_keys: tuple[msgspec.Raw, ...]
    changed_keys: tuple[msgspec.Raw, ...]
    changed_columns: dict[str, int]  # column → rows in which it differs, where any does
    drift: tuple[str, ...]


def diff(data_dir: Path, dataset: str, before: str, after: str, settings: LoaderSettings) -> DiffResult:
    """Ids may be shortened as in a rollback. Raises NoSuchVersion, DamagedVersion, or LoadError when keys differ."""
    old_dir = layout.version_dir(data_dir, dataset, catalogue.find(data_dir, dataset, before))
    new_dir = layout.version_dir(data_dir, dataset, catalogue.find(data_dir, dataset, after))
    with locks.lease(old_dir), locks.lease(new_dir):
        old, new = read_manifest(old_dir), read_manifest(new_dir)
        absent = [column.name for column in new.key if old.column(column.name) is None]
        if absent:
            raise LoadError(f"{old.version} has no column {', '.join(absent)}, part of the key of {new.version}")
        with (
            workspace.building(new_dir.parent) as spill,
            duck.session(settings, spill) as connection,
        ):
            try:
                return _compare(connection, old, new, old_dir, new_dir)
            except duckdb.Error as error:
                raise LoadError(duck.explain(error)) from None


def _compare(connection: duck.Session, old: Manifest, new: Manifest, old_dir: Path, new_dir: Path) -> DiffResult:
    left, right = twin.open_twin(connection, old_dir / TWIN_FILE), twin.open_twin(connection, new_dir / TWIN_FILE)
    keys = [column.name for column in new.key]
    both = [column.name for column in new.columns if old.column(column.name) is not None and column.name not in keys]
    differs = {column: _differs(column, old, new) for column in both}
    same_key = " AND ".join(f"a.{duck.name(key)} = b.{duck.name(key)}" for key in keys)
    joined = (
        f"(SELECT *, true AS {_HERE} FROM {left.table}) a FULL JOIN (SELECT *, true AS {_HERE} FROM {right.table}) b"
    )
    joined += f" ON {same_key}"
    matched = f"a.{_HERE} AND b.{_HERE}"
    any_differs = f"({' OR '.join(differs.values())})" if differs else "false"
    state = (
        f"CASE WHEN a.{_HERE} IS NULL THEN 'added' WHEN b.{_HERE} IS NULL THEN 'removed' "
        f"WHEN {any_differs} THEN 'changed' ELSE 'unchanged' END"
    )
    per_column = "".join(f", count(*) FILTER (WHERE {matched} AND {differs[column]})" for column in both)
    states = ("added", "removed", "changed", "unchanged")
    counted = ", ".join(f"count(*) FILTER (WHERE {state} = '{name}')" for name in states)
    found = duck.one(connection, f"SELECT {counted}{per_column} FROM {joined}")
    counts = dict(zip(states, map(int, found), strict=False))
    columns = dict(zip(both, map(int, found[len(states) :]), strict=True))
    examples = {
        name: _examples(connection, right, joined, f"{state} = '{name}'", keys) if counts[name] else ()
        for name in states[:3]
    }
    return DiffResult(
        dataset=new.dataset,
        before=old.version,
        after=new.version,
        rows_before=old.rows,
        rows_after=new.rows,
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        unchanged=counts["unchanged"],
        added_keys=examples["added"],
        removed_keys=examples["removed"],
        changed_keys=examples["changed"],
        changed_columns={column: count for column, count in columns.items() if count},
        drift=schema.drift(_pairs(old), _pairs(new)),
    )


_HERE = '"havok here"'


def _differs(column: str, old: Manifest, new: Manifest) -> str:
    """Compared as text where the types differ, so that 1 and '1' are equal and nothing fails to cast."""
    before, after = old.column(column), new.column(column)
    quoted = duck.name(column)
    if before is not None and after is not None and before.type == after.type:
        return f"a.{quoted} IS DISTINCT FROM b.{quoted}"
    return f"a.{quoted}::VARCHAR IS DISTINCT FROM b.{quoted}::VARCHAR"


def _examples(
    connection: duck.Session, shown: twin.Twin, joined: str, condition: str, keys: list[str]
) -> tuple[msgspec.Raw, ...]:
    columns = [(column, kind) for column, kind in shown.columns if column in keys]
    merged = ", ".join(f"coalesce(b.{duck.name(key)}, a.{duck.name(key)}) AS {duck.name(key)}" for key in keys)
    some = f"SELECT {merged} FROM {joined} WHERE {condition} ORDER BY {duck.names(keys)} LIMIT {EXAMPLES_MAX}"
    found = duck.rows(connection, f"SELECT {render.row_json(columns)} FROM ({some})")
    return tuple(msgspec.Raw(str(row[0]).encode()) for row in found)


def _pairs(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in manifest.columns)
