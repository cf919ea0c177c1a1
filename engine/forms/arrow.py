"""Answers as a stream of Arrow record batches, one for each list of rows.

Rule: buffers come from `engine.forms.arrow_column`, nanoarrow frames them. It is imported when
Arrow is first asked for, and pyarrow never: it would take 50 MB of each worker's memory.
"""

import io
from typing import Any

from engine.forms.answer import Answer
from engine.forms.arrow_column import Builder, builder
from engine.forms.media import ARROW
from engine.sqltype import WIDTH_MAX, family, width_and_scale

_TYPES = {  # the others are strings
    "TINYINT": "int8", "UTINYINT": "uint8", "SMALLINT": "int16", "USMALLINT": "uint16", "INTEGER": "int32",
    "UINTEGER": "uint32", "BIGINT": "int64", "UBIGINT": "uint64", "DOUBLE": "float64", "FLOAT": "float32",
    "BOOLEAN": "bool_", "DATE": "date32", "BLOB": "binary", "NULL": "null",
}  # fmt: skip


def prepare() -> None:
    """Imports what the first stream would have to; to be called in a thread, it takes 20 to 40 ms."""
    import nanoarrow.ipc  # noqa: F401


class ArrowStreams:
    """The Arrow streams of one query's answers."""

    def __init__(self, answer: Answer) -> None:
        import nanoarrow

        self._answer = answer
        self._columns: list[tuple[Any, Builder]] = [
            (nanoarrow.c_schema(_type(column.type)), builder(column.type)) for column in answer.columns
        ]
        fields = {column.name: _type(column.type) for column in answer.columns}
        self.schema = nanoarrow.c_schema(nanoarrow.struct(fields, nullable=False))

    def begin(self, meta: bool) -> "ArrowStream":
        """`meta` changes nothing: a stream begins with its schema."""
        return ArrowStream(self)

    def batch(self, rows: list[Any]) -> Any:
        """A struct array. Raises QueryFailed for a value that its type cannot hold."""
        from nanoarrow import c_array_from_buffers

        children = []
        for (schema, build), values in zip(self._columns, self._answer.by_column(rows), strict=True):
            nulls, buffers = build(values)
            children.append(c_array_from_buffers(schema, len(rows), buffers, null_count=nulls, move=True))
        return c_array_from_buffers(self.schema, len(rows), [None], null_count=0, children=children, move=True)


class ArrowStream:
    media = ARROW

    def __init__(self, made_by: ArrowStreams) -> None:
        from nanoarrow.ipc import StreamWriter

        self._made_by = made_by
        self._written = io.BytesIO()
        self._writer = StreamWriter.from_writable(self._written)

    def start(self) -> bytes:
        from nanoarrow import Array

        self._writer.write_stream(Array.from_chunks([], self._made_by.schema))
        return self._taken()

    def rows(self, rows: list[Any]) -> bytes:
        if not rows:
            return b""
        self._writer.write_stream(self._made_by.batch(rows), write_schema=False)
        return self._taken()

    def end(self, cursor: str | None) -> bytes:
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        piece = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        return piece


def _type(kind: str) -> Any:
    import nanoarrow

    if kind == "HUGEINT":
        return nanoarrow.decimal128(WIDTH_MAX, 0)
    if family(kind) == "decimal":
        return nanoarrow.decimal128(*width_and_scale(kind))
    if family(kind) == "moment":
        return nanoarrow.timestamp("us", None if kind == "TIMESTAMP" else "UTC")
    return getattr(nanoarrow, _TYPES.get(kind, "string"))()
