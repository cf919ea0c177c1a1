"""How many rows a query is likely to read, counted in the cold twin.

Rule: counts what is there, exactly: rows per value of the columns a seek fixes. What a range
or a filter leaves of them depends on the request.
"""

import tempfile
from pathlib import Path

import msgspec

from engine.queries.query import Query
from havok.errors import LoadError
from havok.manifest import TWIN_FILE
from havok.settings import LoaderSettings
from loader import duck


class Estimate(msgspec.Struct, frozen=True):
    """Rows of one value of what is sought: the median, and of the most frequent one."""

    median: int
    most: int


def estimate(query: Query, version: Path) -> Estimate | None:
    """None where the twin cannot be read: an estimate is a courtesy."""
    seek = query.seek
    if seek.is_whole_key:
        return Estimate(1, 1)
    fixed = [column.name for column in seek.columns[: len(seek.equals)]]
    table = f"read_parquet({duck.path(version / TWIN_FILE)}, hive_partitioning = false)"
    counted = f"SELECT count(*) AS n FROM {table}"
    if fixed:  # NULL equals nothing, so nobody seeks it
        present = " AND ".join(f"{duck.name(name)} IS NOT NULL" for name in fixed)
        counted += f" WHERE {present} GROUP BY {duck.names(fixed)}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="havok-plan-") as spill,
            duck.session(LoaderSettings(), Path(spill)) as db,
        ):
            median, most = duck.one(db, f"SELECT coalesce(median(n), 0), coalesce(max(n), 0) FROM ({counted})")
    except LoadError:
        return None
    return Estimate(round(median), int(most))
