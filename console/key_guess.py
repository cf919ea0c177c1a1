"""Which columns of a table are its key, guessed by looking at all of it.

Rule: a guess is offered only if it is unique and never null over the whole table. Single
columns first, then pairs, then triples; among equals those that are named like keys, then
those that stand first, as people write the key first.
"""

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

from havok.errors import LoadError
from loader import duck, schema

COLUMNS_MAX = 15  # combined in pairs and triples: 105 and 455 combinations
HEAD_ROWS = 20_000  # asked first: most combinations repeat there already, in a few ms
CHECKS_MAX = 30  # combinations whose uniqueness is asked of the whole table
APPROXIMATE = 0.8  # DuckDB's approximate distinct counts are within a few percent
_TABLE = "guessed"
_NAMED_LIKE_KEY = re.compile(r"(?:^|_)(?:id|key|code|uuid|guid|pk|no|number|sku|iso|slug)$", re.IGNORECASE)
_RARELY_KEY = ("bool", "date", "timestamp")


class Traits(msgspec.Struct, frozen=True):
    """A column that could stand in a key: no nulls, a kind with an order."""

    name: str
    position: int
    distinct: int  # approximate
    kind: str

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Sorts the likelier key first."""
        return (not _NAMED_LIKE_KEY.search(snake(self.name)), self.kind in _RARELY_KEY, self.position)


def guess_key(connection: duck.Session, sql: str, columns: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], int]:
    """(the key or (), rows) of a relation with these (name, canonical type) columns. Raises LoadError."""
    kinds = {column: kind for column, text in columns if (kind := _kind(column, text)) is not None}
    if not kinds:
        return (), int(duck.one(connection, f"SELECT count(*) FROM ({sql})")[0])
    duck.rows(connection, f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT {duck.names(list(kinds))} FROM ({sql})")
    counted = ", ".join(f"count({duck.name(c)}), approx_count_distinct({duck.name(c)})" for c in kinds)
    rows, *found = duck.one(connection, f"SELECT count(*), {counted} FROM {_TABLE}")
    traits = [
        Traits(column, position, int(found[2 * position + 1]), kind)
        for position, (column, kind) in enumerate(kinds.items())
        if found[2 * position] == rows
    ]
    head = f"(FROM {_TABLE} LIMIT {HEAD_ROWS})"
    promising = (found for found in combinations(traits, rows) if _is_unique(connection, head, found))
    for combination in itertools.islice(promising, CHECKS_MAX):
        if _is_unique(connection, _TABLE, combination):
            return combination, rows
    return (), rows


def combinations(traits: Sequence[Traits], rows: int) -> Iterator[tuple[str, ...]]:
    """What could be unique by its distinct counts, likeliest first; columns as they stand in the table."""
    ranked = sorted(traits, key=lambda column: column.rank)
    for width in (1, 2, 3):
        pool = ranked if width == 1 else [column for column in ranked if column.distinct > 1][:COLUMNS_MAX]
        for chosen in itertools.combinations(pool, width):
            possible = 1
            for column in chosen:
                possible *= max(1, column.distinct)
            if possible >= APPROXIMATE * rows:
                yield tuple(column.name for column in sorted(chosen, key=lambda column: column.position))


def _is_unique(connection: duck.Session, table: str, columns: Sequence[str]) -> bool:
    grouped = f"SELECT 1 FROM {table} GROUP BY {duck.names(columns)} HAVING count(*) > 1 LIMIT 1"
    return not duck.rows(connection, grouped)


def _kind(column: str, type_text: str) -> str | None:
    try:
        return schema.key_kind(column, type_text)
    except LoadError:
        return None


def snake(name: str) -> str:
    """customerId → customer_Id"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
