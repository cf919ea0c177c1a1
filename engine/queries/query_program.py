"""A query's generated function, compiled and bound to open snapshots.

Rule: as `engine.program` for key-value plans: made aside, whole, and immutable. It holds no
leases; the program that uses it does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from engine.column import OutputColumn
from engine.forms.answer import NULL, Answer
from engine.plan import PlanError
from engine.queries import arithmetic, group_code, paging
from engine.queries.access import MEMBERS_MAX
from engine.queries.column_code import column_name
from engine.queries.expression import Column
from engine.queries.query import Query
from engine.queries.query_code import Source
from engine.queries.scan import CHUNK_BYTES, CHUNK_ROWS, Found, Scan, key_range
from engine.snapshot import Snapshot
from engine.sqltype import VALUES, family
from havok.errors import QueryFailed
from havok.keys import ELEMENT
from havok.rows import CRC_BYTES

# Yields lists of answered rows; returns where the next page begins, or None.
Select = Callable[..., Iterator[Sequence[Any]]]


class CompiledQuery:
    """What depends on the query alone."""

    def __init__(self, query: Query, service: str, params: Sequence[str]) -> None:
        """Raises PlanError when the generated code does not compile."""
        self.query = query
        self.source = Source(query, service, params)
        try:
            self.code = compile(self.source.text, f"<query {service!a}>", "exec")
        except SyntaxError as error:
            raise PlanError(f"service {service}: generated code does not compile: {error}") from None
        self._records = [
            _Record(f"Row{number}", self.source.fields(number)) for number in range(1 + len(query.lookups))
        ]
        self._late = _Record("Late", self.source.late_fields())
        slots = [(f"s{number}", Any) for number in range(group_code.slots(query.aggregates))]
        self._state = msgspec.defstruct("State", slots, gc=False)  # else a collection walks all groups there are
        self.answer = Answer([OutputColumn(item.name, item.value.type) for item in query.outputs])

    def bind(self, snapshots: Mapping[str, Snapshot], rows_max: int) -> Select:
        """→ the generator function; its arguments are the parameters, and `after`, a position to go on from."""
        seek, lookups = self.query.seek, self.query.lookups
        joined = sum(snapshots[lookup.dataset].row_bytes for lookup in lookups)
        # A look-up takes as long as a row, and what is joined is answered as well.
        chunk_rows = max(1, min(CHUNK_ROWS // (1 + len(lookups)), CHUNK_BYTES // (joined + 1)))
        namespace: dict[str, Any] = {
            **self.source.constants,
            "scan": Scan(snapshots[seek.dataset], seek.index, rows_max, chunk_rows),
            "decode_0": self._records[0].decode,
            "decode_late": self._late.decode,
            "Answer": self.answer.row,
            "JOINED_BYTES": joined,
            "State": self._state,
            **_RUNTIME,
        }
        for number, lookup in enumerate(lookups, 1):
            scan = Scan(snapshots[lookup.dataset], None, rows_max)
            kinds = [column.kind for column in lookup.kinds]
            namespace[f"lookup_{number}"] = Found(scan, kinds, self._records[number].decode).begin
            namespace[f"nothing_{number}"] = self._nothing(number)
        exec(self.code, namespace)
        select: Select = namespace["select"]
        return select

    def _nothing(self, number: int) -> Any:
        """The row of an outer lookup that found none."""
        values = [None if is_typed else NULL for _, is_typed in self.source.fields(number)]
        return self._records[number].make(*values)


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
    "beyond": paging.beyond,
    "behind_key": paging.behind_key,
    "cut": paging.cut,
    "behind": paging.behind,
    "CRC_BYTES": CRC_BYTES,
    "HELD_BYTES_MAX": paging.HELD_BYTES_MAX,
    "too_wide": paging.too_wide,
    "too_many_members": partial(paging.too_many_members, MEMBERS_MAX),
    **{f"key_{kind}": encode for kind, encode in ELEMENT.items()},
}
