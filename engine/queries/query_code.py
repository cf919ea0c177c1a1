"""Query → the Python source of its one function, to be read by a person.

Rule: text in, text out, as `engine.codegen` for key-value plans. The function is a generator
of lists of answered rows; it yields between chunks of rows, sometimes nothing, so that its
driver can give others their turn, and returns where the next page begins, or None. No
operator is looked up per row: what the SQL says stands in the loop, over local names that
say which column they are.

    in scan order   rows are answered as they are read
    sorted          rows are kept, cut to what can be answered when they are too many, and
                    only those that are answered are read whole
    grouped         rows are added to their groups, which are answered at the end
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from engine.queries import group_code
from engine.queries.column_code import (
    argument_name,
    column_name,
    fields_of,
    indented,
    of_source,
    tuple_of,
    unpacked,
)
from engine.queries.expression import Aggregated, Argument, Column, Expression, Grouped
from engine.queries.query import Lookup, Order, Query, describe
from engine.queries.scalar import Emitter, may_be_nan
from engine.queries.seek_code import seek_lines
from havok.keys import KeyColumn


class Source:
    """The text of a module's function `select`, and the names it needs beside its snapshot's."""

    def __init__(self, query: Query, service: str, params: Sequence[str]) -> None:
        self.query = query
        self.service = service
        self._params = params
        self._emitter = Emitter(self._name)
        self._is_sorting = bool(query.order) and not query.is_in_scan_order
        self._is_late = self._is_sorting and query.has_pages and not query.is_grouped
        answered = () if query.is_grouped else tuple(item.value for item in query.outputs)
        needed = _needed(query, ordered=self._is_sorting and not query.is_grouped)
        self._typed = fields_of(needed, answered)
        self._first = fields_of(needed, ()) if self._is_late else self._typed
        self._late = fields_of((), answered)
        self.text = self._module()

    @property
    def constants(self) -> dict[str, Any]:
        return self._emitter.constants

    def fields(self, source: int) -> list[tuple[Column, bool]]:
        """The columns that are read of every row → whether as a value, else as the bytes that are stored."""
        return of_source(self._first if source == 0 else self._typed, source)

    def late_of(self, source: int) -> list[tuple[Column, bool]]:
        """Those that an answer is made of."""
        return of_source(self._late, source)

    def late_fields(self) -> list[tuple[Column, bool]]:
        """The columns of the first source that are read only of the rows that are answered."""
        return of_source(self._late, 0) if self._is_late else []

    @property
    def kept_values(self) -> int:
        """How many of a row wait for others to be sorted."""
        return len(self.query.order) + (0 if self._is_late else len(self.query.outputs))

    def _name(self, leaf: Expression) -> str:
        if isinstance(leaf, Column):
            return column_name(leaf)
        if isinstance(leaf, Argument):
            return argument_name(leaf.name, self._params)
        if isinstance(leaf, Grouped):
            return f"g{leaf.index}"
        assert isinstance(leaf, Aggregated)
        return f"a{leaf.index}"

    # -- the module ------------------------------------------------------------------

    def _module(self) -> str:
        query = self.query
        names = [argument_name(name, self._params) for name in self._params]
        pages = query.has_pages and not query.is_grouped and not self._is_sorting
        ordered = (
            query.is_in_scan_order and any(_is_text(column) for column in query.seek.columns) and bool(query.order)
        )
        body = self._grouped if query.is_grouped else self._sorted if self._is_sorting else self._in_scan_order
        seek = seek_lines(query.seek, self._emitter.value, pages=pages, ordered=ordered)
        head = [*self._limits(), *seek]
        arguments = ", ".join([*names, "after=None"])
        lines = [*self._comment(), f"def select({arguments}):", *indented(1, [*head, *body()])]
        return "\n".join(lines) + "\n"

    def _comment(self) -> list[str]:
        query = self.query
        sql = [f"#     {line}" for line in textwrap.dedent(query.sql).strip().splitlines()]
        lines = [f"# Service {ascii(self.service)[1:-1]}.", *sql, f"# Access path: {describe(query)}."]
        if self._is_sorting:
            keys = [f"    ({_sort_key(item, n)}, {item.descending})," for n, item in _numbered(query.order)]
            lines += ["ORDER = (  # (key of a kept row, whether it descends)", *keys, ")"]
        return [*lines, "", ""]

    def _limits(self) -> list[str]:
        lines = []
        if self.query.offset is not None:
            lines.append(f"offset = count({self._emitter.value(self.query.offset)})")
            if self.query.has_pages and not self.query.is_grouped:
                lines += ["if after is not None:", "    offset = 0"]
        if self.query.limit is not None:
            lines += [f"limit = count({self._emitter.value(self.query.limit)})", "if not limit:", "    return None"]
        return lines

    @property
    def _enough(self) -> str:
        return "offset + limit" if self.query.offset is not None else "limit"

    # -- one row ---------------------------------------------------------------------

    def _row(self, kept: Sequence[str], *, keys: bool = False) -> list[str]:
        """The loop over a chunk's rows; `kept` is what is done with those that the filter lets through."""
        loop, lines = self._loop(keys=keys)
        for number, lookup in enumerate(self.query.lookups, 1):
            lines += self._joined(number, lookup)
        if self.query.where is not None:
            lines += [f"if not {self._emitter.truth(self.query.where)}:", "    continue"]
        return [loop, *indented(1, [*lines, *kept])]

    def _loop(self, *, keys: bool) -> tuple[str, list[str]]:
        """The head of the loop, and the lines that give columns their names."""
        if self.fields(0) and not keys:
            return "for row in map(decode_0, chunk.bodies):", unpacked(self.fields(0), "row")
        loop = "for key, body in zip(chunk.keys, chunk.bodies):" if keys else "for body in chunk.bodies:"
        if not self.fields(0):
            return loop, []
        return loop, ["row = decode_0(body)", *unpacked(self.fields(0), "row")]

    def _joined(self, number: int, lookup: Lookup) -> list[str]:
        key = ", ".join(self._emitter.value(value) for value in lookup.key)
        missing = f"    row_{number} = nothing_{number}" if lookup.outer else "    continue"
        return [
            f"row_{number} = find_{number}({key})",
            f"if row_{number} is None:",
            missing,
            *unpacked(self.fields(number), f"row_{number}"),
        ]

    def _answer(self) -> str:
        return f"Answer({', '.join(self._emitter.value(item.value) for item in self.query.outputs)})"

    # -- in scan order ---------------------------------------------------------------

    def _in_scan_order(self) -> list[str]:
        query = self.query
        kept = [f"kept.append({self._answer()})"]
        if query.limit is not None:
            kept = ["if not limit:", "    yield kept", "    return (last,)", *kept, "limit -= 1", "last = key"]
        if query.offset is not None:
            kept = ["if offset:", "    offset -= 1", "    continue", *kept]
        lines = ["kept = []", *self._row(kept, keys=query.has_pages), "yield kept"]
        if query.limit is not None:
            lines += ["if not limit:", "    return (last,) if chunk.more else None"]
        return ["for chunk in found:", *indented(1, lines)]

    # -- sorted ----------------------------------------------------------------------

    def _sorted(self) -> list[str]:
        values = [self._emitter.value(item.value) for item in self.query.order]
        if self._is_late:
            return self._sorted_late(values)
        rows = self._row([f"kept.append(({self._answer()}, {', '.join(values)}))"])
        lines = [*rows, *self._held(), "yield ()"]
        end = ["for part in parts(kept):", "    yield [row[0] for row in part]"]
        return [*self._none_held(), "for chunk in found:", *indented(1, lines), *self._in_order(), *end]

    def _sorted_late(self, values: Sequence[str]) -> list[str]:
        item = ["item = (" + tuple_of(self._rows()) + f", {', '.join(values)}, key)"]
        rows = self._row([*item, "if past is None or past(item):", "    kept.append(item)"], keys=True)
        fewer = [
            *self._in_order(),
            "yield from shortened(kept, enough)",
            "held = sum([len(row[0][0]) for row in kept])",
        ]
        cut = ["if len(kept) > most:", *indented(1, fewer)]
        lines = [*self._wanted(), *self._none_held()]
        lines += ["for chunk in found:", *indented(1, [*rows, *self._held(), *cut, "yield ()"])]
        return [*lines, *self._in_order(), *self._page()]

    def _wanted(self) -> list[str]:
        """How many rows are wanted, and behind which."""
        reverse = ", reverse=True" if self.query.seek.reverse else ""
        lines = [f"enough = {self._enough} + 1", "most = 4 * enough + 1024"]
        return [*lines, f"past = None if after is None else beyond(ORDER, after{reverse})"]

    def _none_held(self) -> list[str]:
        return ["kept = []", "held = 0"]

    def _held(self) -> list[str]:
        joined = " + len(chunk.bodies) * JOINED_BYTES" if self.query.lookups else ""
        return [f"held += sum(map(len, chunk.bodies)){joined}", "if held > HELD_BYTES_MAX:", "    raise too_wide()"]

    def _in_order(self) -> list[str]:
        return ["yield from in_order(kept, ORDER)"]

    def _rows(self) -> list[str]:
        """What a row's answer can be made of later."""
        return ["body", *(f"row_{number}" for number, _ in enumerate(self.query.lookups, 1))]

    def _page(self) -> list[str]:
        """Answers are made of the rows that are known to be wanted."""
        lines = ["answers.append(" + self._answer() + ")"]
        for number, _ in reversed(list(enumerate(self.query.lookups, 1))):
            joined = {column for column, _ in self.late_of(number)}
            lines = [*unpacked([pair for pair in self.fields(number) if pair[0] in joined], f"row_{number}"), *lines]
        if self.late_fields():
            lines = ["row = decode_late(body)", *unpacked(self.late_fields(), "row"), *lines]
        offset = "offset" if self.query.offset is not None else ""
        return [
            f"page = kept[{offset}:{self._enough}]",
            f"position = page[-1][1:] if page and len(kept) > {self._enough} else None",
            "for part in parts(page):",
            "    answers = []",
            f"    for {tuple_of(self._rows())}, *_ in part:",
            *indented(2, lines),
            "    yield answers",
            "yield from shortened(kept, 0)",
            "return position",
        ]

    # -- grouped ---------------------------------------------------------------------

    def _grouped(self) -> list[str]:
        query = self.query
        values = "".join(f", {self._emitter.value(item.value)}" for item in query.order)
        first = "offset" if query.offset is not None else "0"
        lines = []
        if query.has_pages:
            lines += [f"start = {first} if after is None else after[0]", "end = start + limit"]
        rows = self._row(group_code.added(query, self._emitter))
        if query.has_pages and not (query.aggregates or query.order or query.having is not None):
            rows += ["if len(groups) > end:", "    break"]
        lines += [
            "groups = {}",
            *group_code.begun(query),
            "for chunk in found:",
            *indented(1, [*rows, "yield ()"]),
            "kept = []",
        ]
        kept = f"({self._answer()}{values})" if self._is_sorting else self._answer()
        lines += group_code.results(query, self._emitter, [f"kept.append({kept})"])
        lines += self._in_order() if self._is_sorting else []
        part = "[row[0] for row in part]" if self._is_sorting else "part"
        if not query.has_pages and query.offset is None:
            return [*lines, "for part in parts(kept):", f"    yield {part}"]
        lines += ["page = kept[start:end]", "more = len(kept) > end"] if query.has_pages else ["page = kept[offset:]"]
        lines += ["for part in parts(page):", f"    yield {part}", "yield from shortened(kept, 0)"]
        return [*lines, "return (end,) if more else None"] if query.has_pages else lines


def _is_text(column: KeyColumn) -> bool:
    return column.kind == "string"


def _numbered(order: Sequence[Order]) -> list[tuple[int, Order]]:
    return list(enumerate(order, 1))


def _needed(query: Query, *, ordered: bool) -> list[Expression]:
    """Expressions whose values decide over a row or a group, before any answer is made."""
    found: list[Expression] = [value for lookup in query.lookups for value in lookup.key]
    found += [query.where] if query.where is not None else []
    found += query.groups or ()
    found += [part for item in query.aggregates for part in (item.arg, item.only) if part is not None]
    return found + [item.value for item in query.order if ordered]


def _sort_key(item: Order, number: int) -> str:
    """NULLs go where they are wanted, whichever way the values go."""
    value = f"row[{number}]"
    if may_be_nan(item.value):
        value = f"({value} != {value}, {value} if {value} == {value} else 0)"
    elif not item.value.nullable:
        return f"itemgetter({number})"
    if not item.value.nullable:
        return f"lambda row: {value}"
    last = item.nulls_first == item.descending
    test = "is None" if last else "is not None"
    return f"lambda row: (row[{number}] {test}, {value})"
