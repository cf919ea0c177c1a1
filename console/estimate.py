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


def over_bound(query: Query, found: Estimate, rows_max: int) -> str | None:
    """What there is to warn of: requests that would be refused for the rows they read. None where a page ends them."""
    if found.most <= rows_max or query.seek.is_whole_key or (query.has_pages and query.is_in_scan_order):
        return None
    fixed, bounded = bool(query.seek.equals), query.seek.low is not None or query.seek.high is not None
    which = "of the most frequent values" if fixed else "of a wide range"
    if fixed and found.median > rows_max:
        which = "of most values"
    rows = found.median if fixed and found.median > rows_max else found.most
    reads = f"up to {rows:,}" if bounded else f"about {rows:,}"
    return (
        f"a request {which} reads {reads} rows, more than max_rows_scanned = {rows_max:,}, and is refused "
        "(422 too_many_rows): raise that, or fix more of the key or an index in WHERE"
    )


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
