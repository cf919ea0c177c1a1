"""Upsert: changed rows over the live version's twin, as the relation of a new full version.

Rule: a changed row replaces the whole row of its key, so the source has exactly the live
version's columns, read as its types, exactly or not at all; `_deleted` (boolean) may stand beside them, removes
the key and is never stored. A key may stand once in the source: which of two rows is the
later one is not for Havok to guess.
"""

from pathlib import Path

import duckdb

from havok.errors import GateFailed, LoadError
from havok.manifest import Manifest
from loader import duck, exact, gates, quality, reader, schema, twin
from loader.relation import Relation
from loader.source import Source

DELETED = "_deleted"
_CHANGES = "changes"


def relation(connection: duck.Session, source: Source, live: Manifest, live_twin: Path, dataset: str) -> Relation:
    """Reads the changes once, into a table that spills like any other. Raises LoadError or GateFailed."""
    types = {column.name: column.type for column in live.columns}
    changed = reader.read(connection, source, {}, {**types, DELETED: "BOOLEAN"})
    _same_columns(changed, types, dataset)
    found = dict(changed.columns)
    casts = [exact.cast(column, found[column], kind) for column, kind in types.items()]
    deleted = DELETED in found
    casts.append(f"coalesce({f'CAST({DELETED} AS BOOLEAN)' if deleted else 'false'}, false) AS {DELETED}")
    try:
        connection.execute(f"CREATE TEMP TABLE {_CHANGES} AS SELECT {', '.join(casts)} FROM ({changed.sql})")
    except duckdb.Error as error:
        raise LoadError(reader.explain(changed, error)) from None
    base = twin.open_twin(connection, live_twin)
    _unique_keys(connection, base, live, dataset)
    columns = duck.names(list(types))
    keys = duck.names([column.name for column in live.key])
    return Relation(
        sql=(
            f"SELECT {columns} FROM {base.table} ANTI JOIN {_CHANGES} USING ({keys})"
            f" UNION ALL SELECT {columns} FROM {_CHANGES} WHERE NOT {DELETED}"
        ),
        columns=tuple(types.items()),
        source=source,
    )


def _same_columns(changed: Relation, types: dict[str, str], dataset: str) -> None:
    found = [column for column, _ in changed.columns if column != DELETED]
    for column in found:
        if column not in types:
            raise LoadError(
                f"column {column} is not in the live version of {dataset}{schema.nearest(column, list(types))}; "
                "new columns come with a full load"
            )
    absent = [column for column in types if column not in found]
    if absent:
        raise LoadError(
            f"an upsert replaces whole rows, and its source lacks {', '.join(absent)}; add the columns, or load in full"
        )


def _unique_keys(connection: duck.Session, base: twin.Twin, live: Manifest, dataset: str) -> None:
    """Duplicates and NULLs among the changes, which the merged table would hide or blame on the live rows."""
    layout = schema.Schema(columns=live.columns, key=live.key)
    found = gates.duplicate_keys(connection, _CHANGES, base, layout)
    if not found.result.passed:
        raise GateFailed(quality.refusal(dataset, [found.result], {quality.UNIQUE: found.examples}))
