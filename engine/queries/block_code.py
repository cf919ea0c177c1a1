"""Query → Python source as `engine.queries.query_code` makes it, over blocks of columns.

Rule: what becomes of a row is said there; here is only how rows come: as values of columns, a
chunk at a time, `for c_carrier, c_dep_delay in zip(*chunk.columns)`. A row that is kept to be
sorted is its chunk and its number there; what an answer needs besides is taken out of the
rows that are answered.
"""

from collections.abc import Sequence

from engine.queries.column_code import column_name, indented, tuple_of, unpacked
from engine.queries.expression import Column, Expression, columns
from engine.queries.query import Query
from engine.queries.query_code import Source
from engine.queries.scalar import may_be_nan
from engine.sqltype import family
from havok.manifest import Manifest


class BlockSource(Source):
    """The same names in a module, but for `scan`, a BlockScan of its columns."""

    @property
    def columns(self) -> tuple[list[str], list[str]]:
        """Names of the columns wanted of every row, and of those wanted late."""
        return [column.name for column, _ in self.fields(0)], [column.name for column, _ in self.late_fields()]

    def fields(self, source: int) -> list[tuple[Column, bool]]:
        """Whatever is packed comes as a value."""
        found = super().fields(source)
        return found if source else [(column, True) for column, _ in found]

    def late_fields(self) -> list[tuple[Column, bool]]:
        found = super().late_fields()
        if not self._is_plain:
            return found
        typed = dict(found)
        return [(item.value, typed[item.value]) for item in self.query.outputs if isinstance(item.value, Column)]

    @property
    def _is_plain(self) -> bool:
        """An answered row is the columns that are wanted late, each of them once; they come in its order."""
        values = [item.value for item in self.query.outputs]
        names = [column_name(value) for value in values if isinstance(value, Column)]
        whole = self._is_late and not self.query.lookups and len(set(names)) == len(values)
        return whole and self._answer() == f"Answer({', '.join(names)})"

    def _loop(self, *, keys: bool) -> tuple[str, list[str]]:
        return self._over(("key", "chunk.keys()") if keys else None), []

    def _over(self, more: tuple[str, str] | None) -> str:
        """The loop over a chunk, with one name more that goes over something else."""
        names = [column_name(column) for column, _ in self.fields(0)]
        if more is None:
            names, over = names or ["_"], "zip(*chunk.columns)" if len(names) > 1 else "chunk.columns[0]"
            return f"for {', '.join(names)} in {over if self.fields(0) else 'chunk.numbers'}:"
        name, values = more
        return f"for {', '.join([name, *names])} in {f'zip({values}, *chunk.columns)' if names else values}:"

    # -- sorted ----------------------------------------------------------------------

    def _none_held(self) -> list[str]:
        return ["chunks = []", "kept = []"] if self._is_late else ["kept = []"]

    def _held(self) -> list[str]:
        return ["if len(kept) * KEPT_BYTES > HELD_BYTES_MAX:", "    raise too_wide()"]

    def _sorted_late(self, values: Sequence[str]) -> list[str]:
        cut = ["if len(kept) > most:", *indented(1, [*self._in_order(), "yield from shortened(kept, enough)"])]
        chunk = ["chunks.append(chunk)", *self._kept(values), "chunk.empty()", *cut, *self._held(), "yield ()"]
        lines = [*self._wanted(), *self._none_held()]
        return [*lines, "for chunk in found:", *indented(1, chunk), *self._in_order(), *self._page()]

    def _kept(self, values: Sequence[str]) -> list[str]:
        """(number, values that are sorted by …) of each row, or ((number, joined rows …), values …)."""
        names = [column_name(column) for column, _ in self.fields(0)]
        if self.query.where is None and not self.query.lookups and set(values) <= set(names):
            columns = ", ".join(f"chunk.columns[{names.index(value)}]" for value in values)
            every = f"zip(chunk.numbers, {columns})"
            first = self.query.order[0]
            best = f"best(chunk.numbers, [{columns}], enough, {first.descending})"
            return [
                "if past is None:",
                f"    kept += {every if first.value.nullable or may_be_nan(first.value) else best}",
                "else:",
                f"    kept += [item for item in {every} if past((*item, key_of(chunks, item[0])))]",
            ]
        kept = [
            f"item = ({self._first_of('number')}, {', '.join(values)})",
            "if past is None or past((*item, key_of(chunks, number))):",
            "    kept.append(item)",
        ]
        _, *lines = self._row(kept)
        return [self._over(("number", "chunk.numbers")), *lines]

    @property
    def _are_numbers(self) -> bool:
        """What is kept of a row has no text in it: it says nothing of how wide the answered rows are."""
        kept = [item.value.type for item in self.query.order]
        return not self.query.lookups and not any(family(kind) in ("string", "opaque") for kind in kept)

    def _first_of(self, number: str) -> str:
        """What a kept item begins with."""
        joined = [f"row_{number}" for number, _ in enumerate(self.query.lookups, 1)]
        return f"({', '.join([number, *joined])})" if joined else number

    def _page(self) -> list[str]:
        offset = "offset" if self.query.offset is not None else ""
        last = "page[-1][0][0]" if self.query.lookups else "page[-1][0]"
        position = f"(*page[-1][1:], key_of(chunks, {last}))"
        return [
            f"page = kept[{offset}:{self._enough}]",
            f"position = {position} if page and len(kept) > {self._enough} else None",
            f"for part in parts(page{', narrow=True' if self._are_numbers else ''}):",
            *indented(1, self._answered()),
            "yield from shortened(kept, 0)",
            "return position",
        ]

    def _answered(self) -> list[str]:
        """A part of the page becomes answers."""
        if self._is_plain:
            return ["yield list(starmap(Answer, late_rows(chunks, list(map(first_of, part)))))"]
        late = tuple_of([column_name(column) for column, _ in self.late_fields()])
        lines = [f"answers.append({self._answer()})"]
        for number, _ in reversed(list(enumerate(self.query.lookups, 1))):
            answered = {column for column, _ in self.late_of(number)}
            lines = [*unpacked([pair for pair in self.fields(number) if pair[0] in answered], f"row_{number}"), *lines]
        numbers = f"[number for {self._first_of('number')}, *_ in part]"
        loop = f"for {late} in late_rows(chunks, {numbers}):"
        if not self.late_fields():
            loop = f"for {self._first_of('_')}, *_ in part:"
        elif self.query.lookups:
            loop = f"for ({self._first_of('_')}, *_), {late} in zip(part, late_rows(chunks, {numbers})):"
        return ["answers = []", loop, *indented(1, lines), "yield answers"]


def has_blocks(query: Query, manifest: Manifest) -> bool:
    """Whether a version has blocks of all columns that the query needs, in the order in which it seeks."""
    return not query.seek.is_whole_key and unpacked_columns(query, manifest) == set()


def unpacked_columns(query: Query, manifest: Manifest) -> set[str] | None:
    """The columns it needs of which there are no blocks; None: the order in which it seeks has none at all."""
    blocks = manifest.blocks
    if blocks is None or query.seek.index not in blocks.orders:
        return None
    return needed_columns(query) - {column.name for column in blocks.columns}


def needed_columns(query: Query) -> set[str]:
    """Names of the columns it needs of the rows it reads."""
    values: list[Expression] = [item.value for item in query.outputs]
    values += [item.value for item in query.order]
    values += [value for value in (query.where, query.having) if value is not None]
    values += [*(query.groups or ()), *(value for lookup in query.lookups for value in lookup.key)]
    values += [part for item in query.aggregates for part in (item.arg, item.only) if part is not None]
    return {column.name for value in values for column in columns(value) if column.source == 0}
