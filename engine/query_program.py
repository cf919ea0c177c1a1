"""A query's generated function, compiled and bound to open snapshots.

Rule: as `engine.program` for key-value plans: made aside, whole, and immutable. It holds no
leases; the program that uses it does.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine import arithmetic, casts
from engine.expression import Column
from engine.plan import PlanError
from engine.query import Query
from engine.query_code import Source, column_name
from engine.scan import Found, Scan, key_range
from engine.snapshot import Snapshot
from engine.sqltype import family
from havok.errors import QueryFailed
from havok.keys import ELEMENT

_TYPES: dict[str, Any] = {
    "int": int,
    "decimal": Decimal,
    "double": float,
    "float": float,
    "bool": bool,
    "string": str,
    "date": datetime.date,
    "moment": datetime.datetime,
}
_NULL = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode


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
            _record(f"Row{number}", self.source.fields(number)) for number in range(1 + len(query.lookups))
        ]
        self._late = _record("Late", self.source.late_fields())
        self._answer, self._encode = _answer(query)

    def bind(self, snapshots: Mapping[str, Snapshot], rows_max: int) -> Callable[..., Iterator[None]]:
        """→ the generator function; `return`s the JSON array of the answer's rows."""
        namespace: dict[str, Any] = {
            **self.source.constants,
            "scan": Scan(snapshots[self.query.seek.dataset], self.query.seek.index, rows_max),
            "key_range": key_range,
            "decode_0": msgspec.json.Decoder(self._records[0]).decode,
            "decode_late": msgspec.json.Decoder(self._late).decode,
            "Answer": self._answer,
            "encode": self._encode,
            "count": _count,
            "exact_add": arithmetic.EXACT.add,
            "double_lt": arithmetic.compare("lt"),
            "double_gt": arithmetic.compare("gt"),
            "of_set_sum": _sum,
            "of_set_avg": _average,
        }
        namespace |= {f"key_{kind}": encode for kind, encode in ELEMENT.items()}
        for number, lookup in enumerate(self.query.lookups, 1):
            scan = Scan(snapshots[lookup.dataset], None, rows_max)
            kinds = [column.kind for column in lookup.kinds]
            decode = msgspec.json.Decoder(self._records[number]).decode
            namespace[f"lookup_{number}"] = Found(scan, kinds, decode).begin
            namespace[f"nothing_{number}"] = self._nothing(number)
        exec(self.code, namespace)
        select: Callable[..., Iterator[None]] = namespace["select"]
        return select

    def _nothing(self, number: int) -> msgspec.Struct:
        """The row of an outer lookup that found none."""
        values = [None if is_typed else _NULL for _, is_typed in self.source.fields(number)]
        return self._records[number](*values)


def _record(name: str, columns: Sequence[tuple[Column, bool]]) -> type[msgspec.Struct]:
    """The columns of a row that are read, decoded as they are needed."""
    fields = []
    for column, is_typed in columns:
        kind: Any = _TYPES[family(column.type)] if is_typed else msgspec.Raw
        if is_typed and column.nullable:
            kind = kind | None
        fields.append((column_name(column), kind, msgspec.field(name=column.name)))
    return msgspec.defstruct(name, fields, gc=False)


def _answer(query: Query) -> tuple[Callable[..., Any], Callable[[list[Any]], bytes]]:
    """(maker of a row of the answer, encoder of all rows)."""
    made = msgspec.defstruct(
        "Answer", [(f"v{n}", Any, msgspec.field(name=item.name)) for n, item in enumerate(query.outputs)], gc=False
    )
    special = [(f"v{n}", family(item.value.type)) for n, item in enumerate(query.outputs)]
    shown = [(name, _SHOWN[kind]) for name, kind in special if kind in _SHOWN]

    def encode(rows: list[Any]) -> bytes:
        for name, show in shown:
            for row in rows:
                value = getattr(row, name)
                if value is not None and type(value) is not msgspec.Raw:
                    setattr(row, name, show(value))
        return _encode(rows)

    return made, encode


def _moment(value: datetime.datetime) -> str:
    """As a stored row has it: ISO 8601, no zeros at the end of a fraction, UTC as Z."""
    text = casts.moment_text(value).replace(" ", "T")
    return text[:-3] + "Z" if value.tzinfo is not None else text


_SHOWN: dict[str, Callable[[Any], Any]] = {
    "decimal": lambda value: msgspec.Raw(f"{value:f}".encode()),
    "moment": _moment,
    "int": lambda value: value if -(1 << 63) <= value < 1 << 64 else msgspec.Raw(str(value).encode()),
}


def _count(value: int) -> int:
    if value < 0:
        raise QueryFailed("LIMIT and OFFSET must not be negative")
    return value


def _sum(values: set[Any]) -> Any:
    if not values:
        return None
    first = next(iter(values))
    if isinstance(first, Decimal):
        total = Decimal(0)
        for value in values:
            total = arithmetic.EXACT.add(total, value)
        return total
    return sum(values)


def _average(values: set[Any]) -> float | None:
    return float(_sum(values)) / len(values) if values else None


def run(found: Iterator[None]) -> bytes:
    """Drives a query to its end without giving others their turn."""
    while True:
        try:
            next(found)
        except StopIteration as end:
            answer: bytes = end.value
            return answer
