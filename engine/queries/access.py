"""Which way to the rows: the key or an index, by the conditions that fit it.

Rule: pure. A condition is used when it fixes or bounds the next column of a key in the very
order that keys are encoded in; what is used needs no test any more, all others stay filters.
"""

from collections.abc import Sequence

import msgspec

from engine.queries.expression import Argument, Cast, Column, Expression, Operation, columns
from engine.queries.query import Bound, Order, Seek
from engine.sqltype import INTEGERS, family, width_and_scale
from havok.keys import INT_MAX, INT_MIN, KeyColumn, KeyKind
from havok.manifest import Manifest

MEMBERS_MAX = 1000  # seeks of one request: the product of all IN lists

_RANGES = {"gt": (True, False), "ge": (True, True), "lt": (False, False), "le": (False, True)}
_MIRRORED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq"}


class Condition(msgspec.Struct, frozen=True):
    """`column op value`, the value without columns; `values`: members of an IN."""

    column: str
    op: str
    values: tuple[Expression, ...]
    source: Expression  # the conjunct it was read from


class Way(msgspec.Struct, frozen=True):
    """A seek and the conjuncts it makes superfluous."""

    seek: Seek
    used: tuple[Expression, ...]

    @property
    def rank(self) -> tuple[int, int, bool]:
        """The more columns are fixed the better; then a range; then the key, which needs no second look-up."""
        seek = self.seek
        bounds = (seek.low is not None) + (seek.high is not None)
        return len(seek.equals), bounds, seek.index is None


def conjuncts(where: Expression | None) -> list[Expression]:
    """The conditions that must all be TRUE."""
    if where is None:
        return []
    if isinstance(where, Operation) and where.op == "and":
        return [part for arg in where.args for part in conjuncts(arg)]
    return [where]


def ways(manifest: Manifest, where: Expression | None) -> list[Way]:
    """Every way that at least one condition opens, the best first."""
    conditions = [found for part in conjuncts(where) for found in (condition_of(part),) if found is not None]
    found = [_way(manifest.dataset, None, 0, manifest.key, conditions)]
    found += [
        _way(manifest.dataset, index.name, len(index.columns), (*index.columns, *manifest.key), conditions)
        for index in manifest.indexes
    ]
    return sorted((way for way in found if way is not None), key=lambda way: way.rank, reverse=True)


def _way(
    dataset: str, index: str | None, nullable: int, ordered: tuple[KeyColumn, ...], conditions: Sequence[Condition]
) -> Way | None:
    equals: list[tuple[Expression, ...]] = []
    used: list[Expression] = []
    members = 1
    position = 0
    for column in ordered:
        fixed = next((c for c in conditions if c.column == column.name and c.op == "eq" and _encodes(column, c)), None)
        if fixed is None or members * len(fixed.values) > MEMBERS_MAX:
            break
        members *= len(fixed.values)
        equals.append(fixed.values)
        used.append(fixed.source)
        position += 1
    low = high = None
    if position < len(ordered):
        column = ordered[position]
        for condition in conditions:
            if condition.column != column.name or condition.op not in _RANGES or not _encodes(column, condition):
                continue
            is_low, inclusive = _RANGES[condition.op]
            if is_low and low is None:
                low = Bound(condition.values[0], inclusive)
            elif not is_low and high is None:
                high = Bound(condition.values[0], inclusive)
            else:
                continue
            used.append(condition.source)
    if not used:
        return None
    return Way(Seek(dataset, index, ordered, tuple(equals), low, high, nullable=nullable), tuple(used))


def condition_of(part: Expression) -> Condition | None:
    """A conjunct as a condition on a column of the first table; None: it is no such thing."""
    if not isinstance(part, Operation):
        return None
    if part.op == "in":
        column = _column(part.args[0])
        values = part.args[1:]
        if column is None or any(columns(value) for value in values):
            return None
        return Condition(column, "eq", tuple(values), part)
    if part.op not in _MIRRORED:
        return None
    left, right = part.args
    column = _column(left)
    if column is not None and not columns(right):
        return Condition(column, part.op, (bare(right),), part)
    column = _column(right)
    if column is not None and not columns(left):
        return Condition(column, _MIRRORED[part.op], (bare(left),), part)
    return None


def _column(part: Expression) -> str | None:
    """The column of the first table that the part is, perhaps as a wider number."""
    while isinstance(part, Cast) and family(part.type) in ("int", "decimal") and family(part.arg.type) == "int":
        part = part.arg
    return part.name if isinstance(part, Column) and part.source == 0 else None


def bare(part: Expression) -> Expression:
    """A value without the cast to a wider number."""
    while isinstance(part, Cast) and family(part.arg.type) == "int" and _is_whole(part.type):
        part = part.arg
    return part


def _is_whole(kind: str) -> bool:
    return kind in INTEGERS or (family(kind) == "decimal" and width_and_scale(kind)[1] == 0)


def _encodes(column: KeyColumn, condition: Condition) -> bool:
    """Whether every value of the condition can be encoded as this column is."""
    return all(fits(column.kind, value.type.removesuffix("[]")) for value in condition.values)


def fits(kind: KeyKind, type_text: str) -> bool:
    """Whether values of a type are encoded as a key column of this kind."""
    found = family(type_text)
    if kind == "int":
        return found == "int" and INTEGERS[type_text][0] >= INT_MIN and INTEGERS[type_text][1] <= INT_MAX
    if kind == "uint":
        return found == "int" and INTEGERS[type_text][0] == 0
    if kind == "wide":
        return found == "int" or (found == "decimal" and width_and_scale(type_text)[1] == 0)
    return found == {"string": "string", "bool": "bool", "date": "date", "timestamp": "moment"}[kind]


def is_one(values: tuple[Expression, ...]) -> bool:
    """Whether a column is fixed to a single value."""
    return len(values) == 1 and not (isinstance(values[0], Argument) and values[0].type.endswith("[]"))


def best_in_order(found: Sequence[Way], order: Sequence[Order]) -> Way | None:
    """Of the ways, the best first, one as narrow as the best that needs no sorting: LIMIT then ends the reading."""
    narrow = (way for way in found if way.rank[:2] == found[0].rank[:2])
    return next((way for way in narrow if in_order(way.seek, order) is not None), None)


def in_order(seek: Seek, order: Sequence[Order]) -> Seek | None:
    """The seek that yields rows in this order; None when they must be sorted."""
    if not all(is_one(values) for values in seek.equals):
        return None
    fixed = {column.name for column in seek.columns[: len(seek.equals)]}
    rest = [column.name for column in seek.columns[len(seek.equals) :]]
    wanted = [
        item
        for item in order
        if not (isinstance(item.value, Column) and item.value.source == 0 and item.value.name in fixed)
    ]
    if not wanted:
        return seek
    descending = wanted[0].descending
    for item, name in zip(wanted, rest, strict=False):
        value = item.value
        if not (isinstance(value, Column) and value.source == 0 and value.name == name):
            return None
        if item.descending != descending or (value.nullable and item.nulls_first != descending):
            return None
    if len(wanted) > len(rest):
        return None
    return msgspec.structs.replace(seek, reverse=descending)
