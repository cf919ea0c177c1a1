"""Which index would make a query cheaper.

Rule: pure. An index helps when it leads to fewer rows (a filter becomes part of the seek) or
in the order that is wanted (nothing is sorted, and LIMIT ends the reading).
"""

import json
import re
from collections.abc import Sequence

import msgspec

from engine.queries.access import Condition, condition_of, conjuncts, is_one
from engine.queries.expression import Column, columns
from engine.queries.query import Query
from engine.sqltype import family
from havok.manifest import Manifest

NAME_CHARS_MAX = 50  # under the 63 that names in havok.toml may have
_INDEXED = {"int", "string", "bool", "date", "moment"}  # families whose values have an order in keys


class Advice(msgspec.Struct, frozen=True):
    dataset: str
    columns: tuple[str, ...]
    why: str

    @property
    def name(self) -> str:
        """The index's: of its columns; of many, the first and the last."""
        name = _slug(self.columns)
        return name if len(name) <= NAME_CHARS_MAX else _slug((self.columns[0], self.columns[-1]))[:NAME_CHARS_MAX]


def setting(advice: Advice, manifest: Manifest) -> str:
    """What is to stand in havok.toml, beside the indexes there are and any that another service wants."""
    known = {index.name for index in manifest.indexes}
    name, number = advice.name, 2
    while name in known:
        name, number = f"{advice.name}_{number}", number + 1
    columns = json.dumps(list(advice.columns), ensure_ascii=False)
    return f"indexes.{name} = {columns} under [datasets.{advice.dataset}]"


def _slug(columns: Sequence[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "_", "by_" + "_".join(dict.fromkeys(columns)).lower())


def cheaper_index(query: Query) -> Advice | None:
    """None: no index would do better than the way that is taken."""
    seek = query.seek
    if seek.is_whole_key:
        return None
    fixed = [column.name for column in seek.columns[: len(seek.equals)]]
    filters = [found for part in conjuncts(query.where) if (found := condition_of(part)) and _is_sought(found)]
    equal = [item.column for item in filters if item.op == "eq"]
    ranged = [item.column for item in filters if item.op != "eq"]
    bounded = seek.low is not None or seek.high is not None
    chosen = [*fixed, *(name for name in equal if name not in fixed)]
    reasons = [f"{name} is sought, not filtered" for name in equal if name not in fixed]
    each = [*seek.equals, *(item.values for item in filters if item.op == "eq")]
    ordered = _ordered(query, chosen) if chosen and all(is_one(values) for values in each) else []
    if ordered:
        chosen += ordered
        reasons.append(f"rows come by {', '.join(ordered)}: none is sorted, and LIMIT ends the reading")
    elif query.is_in_scan_order and query.order and seek.equals:
        if not reasons:
            return None  # rows come as they are wanted, and LIMIT ends the reading: no range is worth more
        rest = [column.name for column in seek.columns[len(seek.equals) :] if column.name not in chosen]
        chosen += rest[: len(query.order)] if seek.index is not None else []  # the key's come behind any index's
    elif not bounded and ranged and ranged[0] not in chosen:
        chosen.append(ranged[0])
        reasons.append(f"{ranged[0]} bounds what is read")
    elif bounded and len(chosen) > len(fixed):
        chosen.append(seek.columns[len(seek.equals)].name)
    if not reasons:
        return None
    return Advice(seek.dataset, tuple(dict.fromkeys(chosen)), "; ".join(reasons))


def _ordered(query: Query, fixed: list[str]) -> list[str]:
    """Columns to order an index by, when the rows would then come as they are wanted."""
    if query.is_in_scan_order or query.is_grouped or not query.has_pages:
        return []
    names: list[str] = []
    for item in query.order:
        value = item.value
        if not isinstance(value, Column) or value.source != 0 or family(value.type) not in _INDEXED:
            return []
        if item.descending != query.order[0].descending or (value.nullable and item.nulls_first != item.descending):
            return []
        if value.name not in fixed:
            names.append(value.name)
    return names


def _is_sought(condition: Condition) -> bool:
    """Whether an index by its column would serve it: values of one kind, which has an order in keys."""
    kinds = {family(column.type) for column in columns(condition.source)}
    kinds |= {family(value.type.removesuffix("[]")) for value in condition.values}
    return len(kinds) == 1 and kinds <= _INDEXED
