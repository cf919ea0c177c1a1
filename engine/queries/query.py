"""A SQL query as a plan carries it: where rows are sought, and what becomes of them.

Rule: plain frozen data, made by `engine.sql`, turned into code by `engine.queries.query_code`. Rows
go through it in this order: seek, lookups, filter, groups and aggregates, having, order,
offset and limit, outputs.
"""

import msgspec

from engine.queries.expression import Aggregate, Expression
from havok.keys import KeyColumn


class Bound(msgspec.Struct, frozen=True):
    """One end of a range; `value` has no columns."""

    value: Expression
    inclusive: bool


class Seek(msgspec.Struct, frozen=True):
    """Rows by the leading columns of the key (`index` None) or of an index, in its order.

    `equals`: for each leading column the values it may have, one or the members of an IN;
    `low`, `high`: ends of a range of the next column. `columns` are all that the entries
    are ordered by; the first `nullable` of them are an index's own.
    """

    dataset: str
    index: str | None
    columns: tuple[KeyColumn, ...]
    equals: tuple[tuple[Expression, ...], ...]
    low: Bound | None = None
    high: Bound | None = None
    reverse: bool = False
    nullable: int = 0

    @property
    def is_whole_key(self) -> bool:
        return self.index is None and len(self.equals) == len(self.columns)


class Lookup(msgspec.Struct, frozen=True):
    """The row of another dataset by its whole key, from columns of the sources before it.

    Where there is none the row is dropped, or, when `outer`, kept with NULLs.
    """

    dataset: str
    key: tuple[Expression, ...]
    kinds: tuple[KeyColumn, ...]
    outer: bool = False


class Order(msgspec.Struct, frozen=True):
    value: Expression
    descending: bool = False
    nulls_first: bool = False


class Output(msgspec.Struct, frozen=True):
    name: str
    value: Expression


class Query(msgspec.Struct, frozen=True):
    """With `groups` (or aggregates) the later expressions are over groups. `sorted` says that rows come in `order`."""

    sql: str
    seek: Seek
    outputs: tuple[Output, ...]
    lookups: tuple[Lookup, ...] = ()
    where: Expression | None = None
    groups: tuple[Expression, ...] | None = None
    aggregates: tuple[Aggregate, ...] = ()
    having: Expression | None = None
    order: tuple[Order, ...] = ()
    sorted: bool = False
    limit: Expression | None = None
    offset: Expression | None = None

    @property
    def is_grouped(self) -> bool:
        return self.groups is not None or bool(self.aggregates)

    @property
    def is_in_scan_order(self) -> bool:
        """Whether rows are answered as they are read, none kept back."""
        return not self.is_grouped and (self.sorted or not self.order)

    @property
    def has_pages(self) -> bool:
        """Whether an answer may say where the next one begins."""
        return self.limit is not None

    @property
    def sources(self) -> tuple[str, ...]:
        """The dataset of each source, by its number."""
        return (self.seek.dataset, *(lookup.dataset for lookup in self.lookups))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Each dataset it reads, once, the one sought in first."""
        return tuple(dict.fromkeys(self.sources))


def describe(query: Query) -> str:
    """The access path in words."""
    seek = query.seek
    by = "key" if seek.index is None else f"index {seek.index}"
    fixed = ", ".join(column.name for column in seek.columns[: len(seek.equals)])
    if seek.is_whole_key:
        path = f"point lookup in {seek.dataset} by {by} ({fixed})"
    else:
        path = f"range of {seek.dataset} by {by} ({fixed})" if fixed else f"range of {seek.dataset} by {by}"
        if seek.low is not None or seek.high is not None:
            path += f", {seek.columns[len(seek.equals)].name} bounded"
        if seek.reverse:
            path += ", backwards"
    joined = [f"{lookup.dataset} by key" for lookup in query.lookups]
    return "; then ".join([path, *joined])
