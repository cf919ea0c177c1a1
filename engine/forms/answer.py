"""The rows of a query's answer: their class, their JSON, and their values by column.

Rule: a row is a struct with a field `v0`, `v1`, … for each output column, whose value is a
Python value of the column's family (`engine.sqltype`), None, or `msgspec.Raw`: the JSON of a
stored value, as it is. What a value looks like in an answer is decided here, and equals what
`loader.render` stores: a DECIMAL keeps the digits of its scale, a moment is ISO 8601 without
zeros at the end of a fraction, and what is not finite is null.

Rows that were rendered are spent: their values may have become text.
"""

import datetime
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from engine.column import OutputColumn
from engine.sqltype import PLAIN_SCALE_MAX, family, width_and_scale

NULL = msgspec.Raw(b"null")

encode_json = msgspec.json.Encoder(decimal_format="number").encode


class Answer:
    """What there is to know of an answer before its first row."""

    def __init__(self, columns: Sequence[OutputColumn]) -> None:
        self.columns = tuple(columns)
        self.fields = [f"v{number}" for number in range(len(columns))]
        by_field = list(zip(self.fields, columns, strict=True))
        named = [(field, Any, msgspec.field(name=column.name)) for field, column in by_field]
        self._names: list[str] | None = None
        try:
            self.row: Callable[..., Any] = msgspec.defstruct("Answer", named, gc=False)
        except ValueError:  # msgspec writes names as they are: one that JSON must escape is refused
            self.row = msgspec.defstruct("Answer", [(field, Any) for field in self.fields], gc=False)
            self._names = [column.name for column in columns]
        self._shown = [(field, show) for field, column in by_field if (show := shown(column.type)) is not None]

    def json(self, rows: list[Any]) -> bytes:
        """The JSON array of the rows."""
        for field, show in self._shown:
            for row, value in zip(rows, map(attrgetter(field), rows), strict=True):
                if value is not None and type(value) is not msgspec.Raw:
                    setattr(row, field, show(value))
        if self._names is None:
            return encode_json(rows)
        return encode_json([dict(zip(self._names, msgspec.structs.astuple(row), strict=True)) for row in rows])

    def by_column(self, rows: list[Any]) -> list[list[Any]]:
        """The values of each column."""
        return [list(map(attrgetter(field), rows)) for field in self.fields]

    def meta(self) -> dict[str, Any]:
        """What an answer says of itself when asked."""
        return {"columns": [{"name": column.name, "type": column.type} for column in self.columns]}


def shown(kind: str) -> Callable[[Any], Any] | None:
    """What turns a value of this type into one that `encode_json` writes rightly; None: it does so by itself."""
    found = family(kind)
    if found == "moment":
        return _moment
    if found == "decimal" and width_and_scale(kind)[1] > PLAIN_SCALE_MAX:
        return _digits
    return None


def _moment(value: datetime.datetime) -> datetime.datetime | str:
    """As a stored row has it; one whose fraction does not end in zeros is so already."""
    if not value.microsecond or value.microsecond % 10:
        return value
    text = value.isoformat()
    return text.rstrip("0") if value.tzinfo is None else text[:-6].rstrip("0") + "Z"


def _digits(value: Decimal) -> msgspec.Raw:
    return msgspec.Raw(f"{value:f}".encode())


def value_decoder(kind: Any) -> Callable[[list[Any]], list[Any]]:
    """→ function: values of a column → the same with every `Raw` decoded as `kind`, all in one call.

    The function raises msgspec.ValidationError where a stored value is none of `kind`.
    """
    decode = msgspec.json.Decoder(list[kind | None]).decode

    def decoded(values: list[Any]) -> list[Any]:
        raws = [value for value in values if type(value) is msgspec.Raw]
        if not raws:
            return values
        found = decode(array(raws))
        if len(found) == len(values):
            return found
        stored = iter(found)
        return [next(stored) if type(value) is msgspec.Raw else value for value in values]

    return decoded


def json_texts(values: list[Any]) -> list[str | None]:
    """The JSON of each value; None for null."""
    raws = [value if type(value) is msgspec.Raw else encode_json(value) for value in values]
    return [None if (text := str(raw, "utf-8")) == "null" else text for raw in raws]


def array(raws: Iterable[bytes | msgspec.Raw]) -> bytes:
    return b"[%b]" % b",".join(raws)
