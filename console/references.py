"""Which columns of one table name rows of another, found by names and by looking at the values.

Rule: few and right rather than many. Of columns that are named after the other's key, or as
its whole key is, half of the distinct values must be there: such tables often lack rows. By
its values alone only a text column counts, with enough distinct ones and nearly all of them
there: whole numbers are among other whole numbers everywhere.
"""

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

from console.key_guess import snake
from engine.queries.access import fits
from engine.sqltype import family
from havok.errors import LoadError
from loader import duck
from loader.schema import key_kind

NAMED_SHARE = 0.5  # of the distinct values found, where names agree
VALUES_SHARE = 0.95  # the same where only the values do
DISTINCT_MIN = 20  # values that tell something by themselves
PER_CHILD_MAX = 3
CHECKS_MAX = 40  # looks at two whole columns
_GENERIC = {"id", "key", "code", "no", "nr", "number", "name", "pk", "uuid", "guid", "value", "type"}


class Table(msgspec.Struct, frozen=True):
    """A file as the project will have it; an empty key was not found. `types`: of the columns, canonical."""

    name: str
    source: str
    key: tuple[str, ...]
    rows: int
    columns: tuple[str, ...]
    types: tuple[str, ...] = ()

    def type_of(self, column: str) -> str:
        return self.types[self.columns.index(column)]


class Reference(msgspec.Struct, frozen=True):
    """`columns` of the child hold the key of the parent, in its order."""

    child: Table
    columns: tuple[str, ...]
    parent: Table


def find(connection: duck.Session, tables: Sequence[tuple[Table, str]]) -> list[Reference]:
    """`tables`: with the SQL that reads each. Those with names come first. Raises LoadError."""
    sql = {table.name: text for table, text in tables}
    keyed = [table for table, _ in tables if table.key]
    pairs = [(child, parent) for child in keyed for parent in keyed if child.name != parent.name]
    named = [Reference(child, columns, parent) for child, parent in pairs for columns in _named(child, parent)]
    known = {(found.child.name, found.columns) for found in named}
    alike = [
        Reference(child, (column,), parent)
        for child, parent in pairs
        for column in _texts(child, parent)
        if (child.name, (column,)) not in known
    ]
    found: list[Reference] = []
    for reference in itertools.islice(itertools.chain(named, alike), CHECKS_MAX):
        taken = [other.columns for other in found if other.child.name == reference.child.name]
        if len(taken) == PER_CHILD_MAX or reference.columns in taken:
            continue
        distinct, there = _looked(connection, reference, sql)
        share, distinct_min = (NAMED_SHARE, 1) if reference in named else (VALUES_SHARE, DISTINCT_MIN)
        if distinct >= distinct_min and there >= share * distinct:
            found.append(reference)
    return found


def singular(name: str) -> str:
    """customers → customer; nothing cleverer than English plurals in s."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss")):
        if name.endswith(ending):
            return name.removesuffix(ending) + instead
    return name[:-1] if name.endswith("s") and len(name) > 2 else name


def _named(child: Table, parent: Table) -> Iterator[tuple[str, ...]]:
    """Columns of the child that are named as the parent's key would be there."""
    if len(parent.key) > 1:
        is_there = set(parent.key) <= set(child.columns) and set(parent.key) != set(child.key)
        if is_there and all(_fits(child, column, parent, column) for column in parent.key):
            yield parent.key
        return
    (key,) = parent.key
    stems = {_flat(parent.name), _flat(singular(parent.name))}
    wanted = {f"{stem}_{_flat(key)}" for stem in stems} | stems
    if _flat(key) not in _GENERIC:
        wanted.add(_flat(key))
    for column in child.columns:
        if _flat(column) in wanted and child.key != (column,) and _fits(child, column, parent, key):
            yield (column,)


def _texts(child: Table, parent: Table) -> Iterator[str]:
    """Text columns of the child that could hold the parent's key."""
    if len(parent.key) > 1 or family(parent.type_of(parent.key[0])) != "string":
        return
    for column in child.columns:
        if family(child.type_of(column)) == "string" and child.key != (column,):
            yield column


def _fits(child: Table, column: str, parent: Table, key: str) -> bool:
    """Whether values of the column are encoded as the key is, and as an index would be."""
    try:
        key_kind(column, child.type_of(column))
        kind, types = key_kind(key, parent.type_of(key)), (child.type_of(column), parent.type_of(key))
        return fits(kind, types[0]) and (family(types[0]) != "moment" or types[0] == types[1])
    except (LoadError, KeyError):
        return False


def _looked(connection: duck.Session, reference: Reference, sql: dict[str, str]) -> tuple[int, int]:
    """(distinct values, those of them that are keys of the parent)."""
    listed = ", ".join(f"{duck.name(column)} AS k{number}" for number, column in enumerate(reference.columns))
    keys = ", ".join(f"{duck.name(column)} AS k{number}" for number, column in enumerate(reference.parent.key))
    numbers = [f"k{number}" for number in range(len(reference.columns))]
    present = " AND ".join(f"{number} IS NOT NULL" for number in numbers)
    distinct, there = duck.one(
        connection,
        f"WITH v AS (SELECT DISTINCT * FROM (SELECT {listed} FROM ({sql[reference.child.name]})) WHERE {present}), "
        f"p AS (SELECT {keys}, true AS there FROM ({sql[reference.parent.name]})) "
        f"SELECT count(*), count(there) FROM v LEFT JOIN p USING ({', '.join(numbers)})",
    )
    return int(distinct), int(there)


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", snake(name).lower()).strip("_")
