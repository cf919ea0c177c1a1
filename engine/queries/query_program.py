"""A query's generated function, compiled and bound to open snapshots.

Rule: as `engine.program` for key-value plans: made aside, whole, and immutable. It holds no
leases; the program that uses it does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import starmap
from operator import itemgetter
from typing import Any

import msgspec

from engine.column import OutputColumn
from engine.forms.answer import NULL, Answer
from engine.plan import PlanError
from engine.queries import arithmetic, block_scan, group_code, paging
from engine.queries.access import MEMBERS_MAX
from engine.queries.block_code import BlockSource, has_blocks
from engine.queries.block_scan import BlockScan
from engine.queries.column_code import column_name
from engine.queries.expression import Column
from engine.queries.query import Query
from engine.queries.query_code import Source
from engine.queries.scan import CHUNK_BYTES, CHUNK_ROWS, FIRST_ROWS, Scan, find_in, key_range
from engine.snapshot import Snapshot
from engine.sqltype import VALUES, family
from havok.blocks import BLOCK_ROWS
from havok.errors import QueryFailed
from havok.keys import ELEMENT

CHUNK_VALUES = 2048  # of a chunk of columns, a moment for two: a microsecond, taken out and rendered
KEPT_BYTES = 512  # about what a row takes that waits to be sorted, if it has no more than ten values
VALUE_BYTES = 48  # of a wider one; a short text takes as much

# Yields lists of answered rows; returns where the next page begins, or None.
Select = Callable[..., Iterator[Sequence[Any]]]


class CompiledQuery:
    """What depends on the query alone. Code is made for rows and for blocks, each when it is first bound."""

    def __init__(self, query: Query, service: str, params: Sequence[str]) -> None:
        self.query = query
        self.answer = Answer([OutputColumn(item.name, item.value.type) for item in query.outputs])
        self._named = service, params
        slots = [(f"s{number}", Any) for number in range(group_code.slots(query.aggregates))]
        self._state = msgspec.defstruct("State", slots, gc=False)  # else a collection walks all groups there are

    @cached_property
    def by_row(self) -> "_Code":
        """Raises PlanError when the generated code does not compile."""
        return _Code(Source(self.query, *self._named))

    @cached_property
    def by_block(self) -> "_Code":
        """The same."""
        return _Code(BlockSource(self.query, *self._named))

    def bind(self, snapshots: Mapping[str, Snapshot], rows_max: int) -> Select:
        """→ the generator function; its arguments are the parameters, and `after`, a position to go on from.

        Raises PlanError, DamagedVersion.
        """
        snapshot, lookups = snapshots[self.query.seek.dataset], self.query.lookups
        joined = sum(snapshots[lookup.dataset].row_bytes for lookup in lookups)
        code = self.by_block if has_blocks(self.query, snapshot.manifest) else self.by_row
        namespace: dict[str, Any] = {
            **code.source.constants,
            "scan": code.scan(snapshot, rows_max, joined),
            "decode_0": code.records[0].decode,
            "decode_late": code.late.decode,
            "late_rows": partial(block_scan.late_rows, snapshot),
            "Answer": self.answer.row,
            "JOINED_BYTES": joined,
            "KEPT_BYTES": max(KEPT_BYTES, VALUE_BYTES * code.source.kept_values) + joined,
            "State": self._state,
            **_RUNTIME,
        }
        for number, lookup in enumerate(lookups, 1):
            scan = Scan(snapshots[lookup.dataset], None, rows_max)
            kinds = [column.kind for column in lookup.kinds]
            namespace[f"find_{number}"] = find_in(scan, kinds, code.records[number].decode)
            namespace[f"nothing_{number}"] = code.nothing(number)
        exec(code.compiled, namespace)
        select: Select = namespace["select"]
        return select


class _Code:
    """One of the two ways: its text, compiled, and the records of the rows it decodes."""

    def __init__(self, source: Source) -> None:
        """Raises PlanError."""
        self.source = source
        try:
            self.compiled = compile(source.text, f"<query {source.service!a}>", "exec")
        except SyntaxError as error:
            raise PlanError(f"service {source.service}: generated code does not compile: {error}") from None
        self.records = [
            _Record(f"Row{number}", source.fields(number)) for number in range(1 + len(source.query.lookups))
        ]
        self.late = _Record("Late", source.late_fields())

    def scan(self, snapshot: Snapshot, rows_max: int, joined: int) -> Scan | BlockScan:
        """A look-up takes as long as a row, and what is joined is answered as well."""
        query, shares = self.source.query, 1 + len(self.source.query.lookups)
        rows_of_joined = CHUNK_BYTES // (joined + 1)
        if isinstance(self.source, BlockSource):
            columns = self.source.columns
            values = sum(2 if family(column.type) == "moment" else 1 for column, _ in self.source.fields(0)) or 1
            chunk_rows = max(1, min(BLOCK_ROWS // shares, rows_of_joined, CHUNK_VALUES // values))
            first_rows = FIRST_ROWS if query.is_in_scan_order else chunk_rows
            return BlockScan(snapshot, query.seek.index, rows_max, columns, (first_rows, chunk_rows))
        return Scan(snapshot, query.seek.index, rows_max, max(1, min(CHUNK_ROWS // shares, rows_of_joined)))

    def nothing(self, number: int) -> Any:
        """The row of an outer lookup that found none."""
        values = [None if is_typed else NULL for _, is_typed in self.source.fields(number)]
        return self.records[number].make(*values)


class _Record:
    """The columns of a row that are read, decoded as they are needed."""

    def __init__(self, name: str, columns: Sequence[tuple[Column, bool]]) -> None:
        kinds = [(column_name(column), column.name, _kind(column, is_typed)) for column, is_typed in columns]
        named = [(field, kind, msgspec.field(name=label)) for field, label, kind in kinds]
        self.make: Callable[..., Any]
        try:
            self.make = made = msgspec.defstruct(name, named, gc=False)
            self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(made).decode
        except ValueError:  # msgspec matches names as they stand in JSON: one that is escaped there is refused
            self.make = msgspec.defstruct(name, [(field, kind) for field, _, kind in kinds], gc=False)
            self.decode = self._decoder_by_label([(label, kind) for _, label, kind in kinds])

    def _decoder_by_label(self, fields: list[tuple[str, Any]]) -> Callable[[bytes], Any]:
        decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        values = [(label, msgspec.json.Decoder(kind).decode) for label, kind in fields]

        def decode_by_label(row: bytes) -> Any:
            found = decode(row)
            return self.make(*[decode_value(found[label]) for label, decode_value in values])

        return decode_by_label


def _kind(column: Column, is_typed: bool) -> Any:
    if not is_typed or family(column.type) == "opaque":
        return msgspec.Raw
    kind = VALUES[family(column.type)]
    return kind | None if column.nullable else kind


def _opaque(value: msgspec.Raw | None) -> msgspec.Raw | None:
    return None if value is None or value == NULL else value


def _count(value: int) -> int:
    if value < 0:
        raise QueryFailed("LIMIT and OFFSET must not be negative")
    return value


def _one_nan(value: float) -> float:
    """The same NaN for every other: two are alike in a set, or in the key of a group, when they are the same."""
    return value if value == value else math.nan


_RUNTIME: dict[str, Any] = {  # what generated code calls by name
    "itemgetter": itemgetter,
    "first_of": itemgetter(0),
    "starmap": starmap,
    "key_of": block_scan.key_of,
    "key_range": key_range,
    "count": _count,
    "opaque": _opaque,
    "exact_add": arithmetic.EXACT.add,
    "fit_integer": arithmetic.fit_integer,
    "fit_decimal": arithmetic.fit_decimal,
    "double_lt": arithmetic.compare("lt"),
    "double_gt": arithmetic.compare("gt"),
    "one_nan": _one_nan,
    "parts": paging.parts,
    "shortened": paging.shortened,
    "emptied": paging.emptied,
    "in_order": paging.in_order,
    "best": paging.best,
    "beyond": paging.beyond,
    "cut": paging.cut,
    "behind": paging.behind,
    "HELD_BYTES_MAX": paging.HELD_BYTES_MAX,
    "too_wide": paging.too_wide,
    "too_many_members": partial(paging.too_many_members, MEMBERS_MAX),
    **{f"key_{kind}": encode for kind, encode in ELEMENT.items()},
}
