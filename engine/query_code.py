"""Query → the Python source of its one function, to be read by a person.

Rule: text in, text out, as `engine.codegen` for key-value plans. The function is a generator:
it yields between chunks of rows, so that its driver can give others their turn, and returns
the JSON of the answer's rows. No operator is looked up per row: what the SQL says stands in
the loop, over local names that say which column they are.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from engine import group_code
from engine.expression import (
    Aggregate,
    Aggregated,
    Argument,
    Column,
    Expression,
    Grouped,
    columns,
)
from engine.query import Bound, Lookup, Order, Query, describe
from engine.scalar import Emitter, may_be_nan
from engine.sqltype import family

LINE_MAX = 100


class Source:
    """The text of a module's one function, and the names it needs beside its snapshot's."""

    def __init__(self, query: Query, service: str, params: Sequence[str]) -> None:
        self.query = query
        self._service = service
        self._params = params
        self._emitter = Emitter(self._name)
        self.is_grouped = query.groups is not None or bool(query.aggregates)
        self.is_late = bool(query.order) and not query.sorted and query.limit is not None and not self.is_grouped
        answered = () if self.is_grouped else tuple(item.value for item in query.outputs)
        needed = _needed(query, ordered=not self.is_grouped and not query.sorted)
        self._typed = _typed_columns(needed, answered)
        self._first = _typed_columns(needed, ()) if self.is_late else self._typed
        self._late = _typed_columns((), answered)
        self.text = self._module()

    @property
    def constants(self) -> dict[str, Any]:
        return self._emitter.constants

    def fields(self, source: int) -> list[tuple[Column, bool]]:
        """The columns that are read of every row → whether as a value, else as the bytes that are stored."""
        return _of_source(self._first if source == 0 else self._typed, source)

    def late_fields(self) -> list[tuple[Column, bool]]:
        """The columns of the first source that are read only of the rows that are answered."""
        return _of_source(self._late, 0) if self.is_late else []

    # -- names -----------------------------------------------------------------------

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
        names = [argument_name(name, self._params) for name in self._params]
        lines = [
            *self._comment(),
            f"def select({', '.join(names)}):",
            *_indented(1, self._limits()),
            *_indented(1, self._seek()),
            *_indented(1, self._begin()),
            "    for bodies in found:",
            "        for body in bodies:",
            *_indented(3, self._row()),
            *_indented(2, self._stop()),
            "        yield",
            *_indented(1, self._end()),
        ]
        return "\n".join(lines) + "\n"

    def _comment(self) -> list[str]:
        query = self.query
        sql = [f"#     {line}" for line in textwrap.dedent(query.sql).strip().splitlines()]
        return [f"# Service {ascii(self._service)[1:-1]}.", *sql, f"# Access path: {describe(query)}."]

    def _limits(self) -> list[str]:
        lines = []
        for name, value in (("limit", self.query.limit), ("offset", self.query.offset)):
            if value is not None:
                lines.append(f"{name} = count({self._emitter.value(value)})")
        return lines

    # -- where the rows are ----------------------------------------------------------

    def _seek(self) -> list[str]:
        seek = self.query.seek
        lines = ['prefixes = [b""]']
        for position, (column, values) in enumerate(zip(seek.columns, seek.equals, strict=False)):
            key = f"{self._mark(position)}key_{column.kind}(value)"
            lines.append(f"values = {self._members(values)}")
            lines.append(f"prefixes = [prefix + {key} for prefix in prefixes for value in values]")
        if seek.is_whole_key:
            return [*lines, "found = scan.points(prefixes)"]
        low, high, end = "None", "None", 'b""'
        if seek.low is not None or seek.high is not None:
            position = len(seek.equals)
            kind, mark = seek.columns[position].kind, self._mark(position)
            low = self._bound(lines, "low", seek.low, kind, mark)
            high = self._bound(lines, "high", seek.high, kind, mark)
            if mark:  # NULLs are last, and in no range
                low = '(b"\\1", True)' if seek.low is None else low
                end = 'b"\\2"'
        if seek.reverse:
            lines.append("prefixes.reverse()")
        lines.append(f"ranges = [key_range(prefix, {low}, {high}, {end}) for prefix in prefixes]")
        return [*lines, f"found = scan.ranges(ranges{', reverse=True' if seek.reverse else ''})"]

    def _mark(self, position: int) -> str:
        """Columns of an index say first that they are not NULL; those of the key behind them do not."""
        return 'b"\\1" + ' if position < self.query.seek.nullable else ""

    def _members(self, values: tuple[Expression, ...]) -> str:
        """The distinct values, in order, that a column may have; NULL matches nothing."""
        if len(values) == 1 and isinstance(values[0], Argument) and values[0].type.endswith("[]"):
            return f"sorted(set({self._emitter.value(values[0])}))"
        if len(values) == 1 and not values[0].nullable:
            return f"({self._emitter.value(values[0])},)"
        listed = ", ".join(self._emitter.value(value) for value in values)
        return f"sorted({{{listed}}} - {{None}})"

    def _bound(self, lines: list[str], name: str, bound: Bound | None, kind: str, mark: str) -> str:
        if bound is None:
            return "None"
        lines.append(f"{name} = {self._emitter.value(bound.value)}")
        if bound.value.nullable:
            lines += [f"if {name} is None:", "    prefixes = []"]
        return f"({mark}key_{kind}({name}), {bound.inclusive})"

    # -- one row ---------------------------------------------------------------------

    def _begin(self) -> list[str]:
        lines = [f"find_{number} = lookup_{number}()" for number, _ in enumerate(self.query.lookups, 1)]
        if not self.is_grouped:
            return [*lines, "kept = []"]
        return [*lines, "groups = {}"]

    def _row(self) -> list[str]:
        lines = []
        if self.fields(0):
            lines.append("row = decode_0(body)")
            lines += _unpacked(self.fields(0), "row")
        for number, lookup in enumerate(self.query.lookups, 1):
            lines += self._joined(number, lookup)
        if self.query.where is not None:
            lines += [f"if not {self._emitter.truth(self.query.where)}:", "    continue"]
        if not self.is_grouped:
            return [*lines, *self._kept()]
        return [*lines, *self._added()]

    def _joined(self, number: int, lookup: Lookup) -> list[str]:
        key = ", ".join(self._emitter.value(value) for value in lookup.key)
        lines = [f"row_{number} = find_{number}({key})"]
        if not lookup.outer:
            return [
                *lines,
                f"if row_{number} is None:",
                "    continue",
                *_unpacked(self.fields(number), f"row_{number}"),
            ]
        return [*lines, f"if row_{number} is None:", f"    row_{number} = nothing_{number}",
                *_unpacked(self.fields(number), f"row_{number}")]  # fmt: skip

    def _kept(self) -> list[str]:
        """What is kept of a row until all are there: the values it is ordered by and its answer."""
        if self.query.sorted or not self.query.order:
            return [f"kept.append({self._answer()})"]
        values = ", ".join(self._emitter.value(item.value) for item in self.query.order)
        if self.is_late:
            return [f"kept.append((({', '.join(self._rows())},), {values}))"]
        return [f"kept.append(({self._answer()}, {values}))"]

    def _answer(self) -> str:
        return f"Answer({', '.join(self._emitter.value(item.value) for item in self.query.outputs)})"

    def _rows(self) -> list[str]:
        """What a row's answer can be made of later."""
        return ["body", *(f"row_{number}" for number, _ in enumerate(self.query.lookups, 1))]

    def _stop(self) -> list[str]:
        if self.query.limit is None or not self.query.sorted or self.is_grouped:
            return []
        enough = "offset + limit" if self.query.offset is not None else "limit"
        return [f"if len(kept) >= {enough}:", "    break"]

    # -- groups ----------------------------------------------------------------------

    def _added(self) -> list[str]:
        groups = self.query.groups or ()
        key = _tuple([self._emitter.value(value) for value in groups])
        width = sum(group_code.state_size(item) for item in self.query.aggregates)
        fresh = ", ".join(group_code.fresh(item) for item in self.query.aggregates)
        lines = [f"key = {key}", "state = groups.get(key)", "if state is None:", f"    state = groups[key] = [{fresh}]"]
        if not width:
            return lines
        slot = 0
        for item in self.query.aggregates:
            lines += self._accumulated(item, slot)
            slot += group_code.state_size(item)
        return lines

    def _accumulated(self, item: Aggregate, slot: int) -> list[str]:
        tests, value = [], ""
        if item.only is not None:
            tests.append(self._emitter.truth(item.only))
        lines: list[str] = []
        if item.arg is not None:
            value = self._emitter.value(item.arg)
            if not value.isidentifier():
                lines, value = [f"value = {value}"], "value"
            if item.arg.nullable:
                tests.append(f"{value} is not None")
        step = group_code.step(item, f"state[{slot}]", f"state[{slot + 1}]", value)
        if tests:
            return [*lines, f"if {' and '.join(tests)}:", *_indented(1, step)]
        return [*lines, *step]

    def _end(self) -> list[str]:
        lines = []
        if self.is_grouped:
            lines += self._answered()
        if self.query.order and not self.query.sorted:
            for number, item in reversed(list(enumerate(self.query.order, 1))):
                reverse = ", reverse=True" if item.descending else ""
                lines.append(f"kept.sort(key=lambda row: {_sort_key(item, number)}{reverse})")
            lines.append("kept = [row[0] for row in kept]")
        start = "offset" if self.query.offset is not None else ""
        end = "" if self.query.limit is None else f"{start} + limit" if start else "limit"
        if start or end:
            lines.append(f"kept = kept[{start}:{end}]")
        if self.is_late:
            lines += ["answers = []", f"for {', '.join(self._rows())}, in kept:", *_indented(1, self._answered_late())]
            return [*lines, "return encode(answers)"]
        return [*lines, "return encode(kept)"]

    def _answered_late(self) -> list[str]:
        """A row's answer, made when it is known to be wanted."""
        lines = []
        if self.late_fields():
            lines += ["row = decode_late(body)", *_unpacked(self.late_fields(), "row")]
        for number, _ in enumerate(self.query.lookups, 1):
            joined = {column for column, _ in _of_source(self._late, number)}
            lines += _unpacked([pair for pair in self.fields(number) if pair[0] in joined], f"row_{number}")
        return [*lines, f"answers.append({self._answer()})"]

    def _answered(self) -> list[str]:
        """Each group's answer, from its state."""
        query = self.query
        lines = ["kept = []"]
        if not query.groups:
            fresh = ", ".join(group_code.fresh(item) for item in query.aggregates)
            lines += ["if not groups:", f"    groups[()] = [{fresh}]"]
        lines += ["for key, state in groups.items():"]
        inner = [f"g{number} = key[{number}]" for number, _ in enumerate(query.groups or ())]
        slot = 0
        for number, item in enumerate(query.aggregates):
            inner.append(f"a{number} = {group_code.result(item, slot)}")
            slot += group_code.state_size(item)
        if query.having is not None:
            inner += [f"if not {self._emitter.truth(query.having)}:", "    continue"]
        return [*lines, *_indented(1, [*inner, *self._kept()])]


def column_name(column: Column) -> str:
    """`c_carrier`, `j1_name`: which source's, and which column where its name can be said in Python."""
    prefix = "c" if column.source == 0 else f"j{column.source}"
    if column.name.isascii() and f"c_{column.name}".isidentifier():
        return f"{prefix}_{column.name}"
    return f"{prefix}_x{column.name.encode().hex()}"


def argument_name(name: str, params: Sequence[str]) -> str:
    return f"p_{name}" if name.isascii() and f"p_{name}".isidentifier() else f"p{params.index(name)}"


def _needed(query: Query, *, ordered: bool) -> list[Expression]:
    """Expressions whose values decide over a row or a group, before any answer is made."""
    found: list[Expression] = [value for lookup in query.lookups for value in lookup.key]
    found += [query.where] if query.where is not None else []
    found += query.groups or ()
    found += [part for item in query.aggregates for part in (item.arg, item.only) if part is not None]
    return found + [item.value for item in query.order if ordered]


def _typed_columns(needed: Sequence[Expression], answered: Sequence[Expression]) -> dict[Column, bool]:
    """Columns that are read → whether some expression needs their value; else their bytes are passed on."""
    found: dict[Column, bool] = {value: False for value in answered if isinstance(value, Column)}
    for expression in (*needed, *(value for value in answered if not isinstance(value, Column))):
        for column in columns(expression):
            found[column] = family(column.type) != "opaque"
    return found


def _of_source(found: dict[Column, bool], source: int) -> list[tuple[Column, bool]]:
    return sorted(
        ((column, is_typed) for column, is_typed in found.items() if column.source == source),
        key=lambda pair: pair[0].name,
    )


def _unpacked(fields: Sequence[tuple[Column, bool]], record: str) -> list[str]:
    return [f"{column_name(column)} = {record}.{column_name(column)}" for column, _ in fields]


def _sort_key(item: Order, number: int) -> str:
    """NULLs go where they are wanted, whichever way the values go."""
    value = f"row[{number}]"
    if may_be_nan(item.value):
        value = f"({value} != {value}, {value})"
    if not item.value.nullable:
        return value
    last = item.nulls_first == item.descending
    test = "is None" if last else "is not None"
    return f"(row[{number}] {test}, {value})"


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _indented(depth: int, lines: Sequence[str]) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]
