"""Blocks of columns: which form each column has, and the entries of one order.

Rule: a form is chosen from what the twin's values are, all of them: their range, how many are
NULL, how many texts differ. A column without a small form has none, and queries that need
it read rows. DuckDB turns values into the numbers that are stored, Arrow hands them over in
buffers, so that nothing here is done once per value but the keys.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from struct import calcsize
from typing import Any

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.blocks import BLOCK_ROWS as BLOCK_ROWS
from havok.blocks import Blocks, pack_block
from havok.packing import Packed, pack_texts
from havok.rows import seal
from loader import duck, twin
from loader.schema import Schema, is_json
from loader.twin import Twin

WORDS_MAX = 4096  # different texts of a column that are kept as words
WORDS_CHARS_MAX = 256 * 1024  # of them together: each worker that reads the column holds them
TEXT_BYTES_MEAN_MAX = 64  # of texts in a block; longer ones are not what ranges are scanned for
TEXT_BYTES_MAX = 4096
BATCH_BLOCKS = 16  # alive at once
INTEGER_DIGITS_MAX = 18  # of a DECIMAL: units fit 64 bits
_DAYS = (-719162, 2932896)  # of year 1 to 9999, Python's
_MICROSECONDS = (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1)
_TYPES = {
    "B": "UTINYINT", "b": "TINYINT", "H": "USMALLINT", "h": "SMALLINT", "I": "UINTEGER", "i": "INTEGER",
    "q": "BIGINT", "Q": "UBIGINT",
}  # fmt: skip
_FORMS = {"date": "date", "timestamp": "timestamp", "timestamp with time zone": "timestamptz", "decimal": "decimal"}
_LIMITS = {"date": _DAYS, "timestamp": _MICROSECONDS, "timestamptz": _MICROSECONDS}
_INTEGERS = {"tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint"}

Entries = list[tuple[bytes, bytes]]


class Plan(msgspec.Struct, frozen=True):
    """What is packed, by which SQL. `words`: of the columns that have them; `hashed`: orders with keys that may be."""

    hashed: frozenset[str | None]
    blocks: Blocks | None = None
    values: tuple[str, ...] = ()  # SQL of each column's stored form
    words: dict[str, list[str | None]] = {}

    @property
    def orders(self) -> tuple[str | None, ...]:
        return () if self.blocks is None else self.blocks.orders


def plan(connection: duck.Session, candidate: Twin, schema: Schema) -> Plan:
    """Scans the twin for the longest keys, once for the forms, and for the words.

    The key has blocks when it has several columns, an index always, unless keys may be hashed.
    """
    hashed = twin.hashed_orders(connection, candidate, schema)
    orders: list[str | None] = [None] if len(schema.key) > 1 else []
    orders = [order for order in [*orders, *(index.name for index in schema.indexes)] if order not in hashed]
    if not orders:
        return Plan(hashed)
    packed: list[tuple[Packed, str]] = []
    words: dict[str, list[str | None]] = {}
    measured = _measured(connection, candidate)
    for number, (name, kind) in enumerate(candidate.columns):
        if _is_text(kind):
            found = _text(connection, candidate, name, number, measured[name], words)
        else:
            found = _number(name, kind, measured.get(name, ()))
        if found is not None:
            packed.append(found)
    blocks = Blocks(columns=tuple(column for column, _ in packed), orders=tuple(orders))
    return Plan(hashed, blocks, tuple(sql for _, sql in packed), words)


def _is_text(kind: DuckDBPyType) -> bool:
    return kind.id == "varchar" and not is_json(kind)


def _measured(connection: duck.Session, candidate: Twin) -> dict[str, tuple[Any, ...]]:
    """(NULLs, least, greatest) of numbers, (NULLs, about how many differ, mean and most bytes) of texts."""
    asked: dict[str, list[str]] = {}
    for name, kind in candidate.columns:
        quoted = duck.name(name)
        if _is_text(kind):
            sizes = [f"coalesce(avg(strlen({quoted})), 0)", f"coalesce(max(strlen({quoted})), 0)"]
            asked[name] = [f"count(*) - count({quoted})", f"approx_count_distinct({quoted})", *sizes]
        elif (stored := _stored(name, kind)) is not None:
            asked[name] = [f"count(*) - count({stored})", f"min({stored})", f"max({stored})"]
    aggregates = [aggregate for texts in asked.values() for aggregate in texts]
    row = iter(duck.one(connection, f"SELECT {', '.join(['count(*)', *aggregates])} FROM {candidate.table}")[1:])
    return {name: tuple(islice(row, len(texts))) for name, texts in asked.items()}


def _stored(name: str, kind: DuckDBPyType) -> str | None:
    """The integer, or the double, that is stored for a value; NULL for what is not finite. None: it has no form."""
    quoted = duck.name(name)
    if kind.id in _INTEGERS:
        return quoted
    if kind.id == "decimal":
        width, scale = _width_and_scale(kind)
        units = f"CAST({quoted} AS DECIMAL(38,{scale})) * {10**scale}"
        return f"CAST({units} AS BIGINT)" if width <= INTEGER_DIGITS_MAX else None
    if kind.id == "date":
        return f"CASE WHEN isfinite({quoted}) THEN {quoted} - DATE '1970-01-01' END"
    if kind.id in ("timestamp", "timestamp with time zone"):
        return f"CASE WHEN isfinite({quoted}) THEN epoch_us({quoted}) END"
    if kind.id in ("float", "double"):
        return f"CASE WHEN isfinite({quoted}) THEN CAST({quoted} AS DOUBLE) END"
    return f"CAST({quoted} AS TINYINT)" if kind.id == "boolean" else None


def _width_and_scale(kind: DuckDBPyType) -> tuple[int, int]:
    width, scale = (int(value) for _, value in kind.children if isinstance(value, int))
    return width, scale


def _number(name: str, kind: DuckDBPyType, measured: Sequence[Any]) -> tuple[Packed, str] | None:
    stored = _stored(name, kind)
    if stored is None:
        return None
    nulls, least, greatest = measured
    if kind.id == "boolean":
        return Packed(name, "bool", "B"), f"CAST(coalesce({stored}, 2) AS UTINYINT)"
    if kind.id in ("float", "double"):
        return Packed(name, "double", "d", 0 if nulls else None), f"coalesce({stored}, 'NaN'::DOUBLE)"
    form = _FORMS.get(kind.id, "int")
    scale = _width_and_scale(kind)[1] if form == "decimal" else 0
    least, greatest = (0, 0) if least is None else (int(least), int(greatest))
    low, high = _LIMITS.get(form, (least, greatest))
    code = narrowest(least, greatest + bool(nulls))
    if code is None or least < low or greatest > high:
        return None
    null = greatest + 1 if nulls else None
    value = stored if null is None else f"coalesce({stored}, {null})"
    return Packed(name, form, code, null, scale), f"CAST({value} AS {_TYPES[code]})"  # type: ignore[arg-type]


def narrowest(least: int, greatest: int) -> str | None:
    """struct's code of the smallest integer that holds both; None: 64 bits do not."""
    for code in _TYPES:
        bits = 8 * calcsize(f"<{code}")
        low, high = (0, (1 << bits) - 1) if code.isupper() else (-(1 << bits - 1), (1 << bits - 1) - 1)
        if low <= least and greatest <= high:
            return code
    return None


def _text(
    connection: duck.Session,
    candidate: Twin,
    name: str,
    number: int,
    measured: Sequence[Any],
    words: dict[str, list[str | None]],
) -> tuple[Packed, str] | None:
    nulls, about, mean, most = measured
    quoted = duck.name(name)
    if most > TEXT_BYTES_MAX:
        return None
    if about <= 2 * WORDS_MAX:
        distinct = f"SELECT DISTINCT {quoted} AS w FROM {candidate.table} WHERE {quoted} IS NOT NULL ORDER BY w"
        found = [word for (word,) in duck.rows(connection, distinct)]
        if len(found) <= WORDS_MAX and sum(map(len, found)) <= WORDS_CHARS_MAX:
            words[name] = [*found, None]
            code = "B" if len(found) < 256 else "H"
            if not found:
                return Packed(name, "word", code), "CAST(0 AS UTINYINT)"
            enum = duck.name(f"words {number}")
            duck.rows(connection, f"CREATE TEMP TYPE {enum} AS ENUM ({distinct})")
            place = f"coalesce(enum_code(CAST({quoted} AS {enum})), {len(found)})"
            return Packed(name, "word", code), f"CAST({place} AS {_TYPES[code]})"
    if mean > TEXT_BYTES_MEAN_MAX:
        return None
    return Packed(name, "text", null=1 if nulls else None), f"coalesce({quoted}, '')"


def words(made: Plan) -> Entries:
    """The words of columns, in the order of their names."""
    return sorted(seal(name.encode(), msgspec.msgpack.encode(found)) for name, found in made.words.items())


def entries(connection: duck.Session, query: str, made: Plan) -> Iterator[Entries]:
    """The blocks of rows in the order of `query`, which has `twin.ENCODING` and the twin's columns.

    They are the same however DuckDB cuts its result: each has `BLOCK_ROWS` rows but the last.
    """
    assert made.blocks is not None, "asked for only where there are some"
    flags = [
        f"CAST({duck.name(column.name)} IS NULL AS UTINYINT)"
        for column in made.blocks.columns
        if column.form == "text" and column.null is not None
    ]
    selected = ", ".join([twin.ENCODING, *made.values, *flags])
    rest: list[_Part] = []
    for array in _arrays(connection, f"SELECT {selected} FROM ({query})"):
        columns = [_Buffers(child) for child in array.view().children]
        batch, at = [], 0
        while array.length - at >= (wanted := BLOCK_ROWS - sum(part.rows for part in rest)):
            batch.append(_block([*rest, _Part(columns, at, at + wanted)], made.blocks.columns))
            rest, at = [], at + wanted
            if len(batch) == BATCH_BLOCKS:
                yield batch
                batch = []
        yield batch
        if at < array.length:
            rest.append(_Part(columns, at, array.length))
    if rest:
        yield [_block(rest, made.blocks.columns)]


def _arrays(connection: duck.Session, query: str) -> Iterator[Any]:
    """The result, an Arrow array at a time. Raises duckdb.Error, which the stream passes on as a text alone."""
    from nanoarrow import c_array_stream  # a process without blocks to make does without

    stream = connection.sql(query).__arrow_c_stream__()  # what it raises is DuckDB's own, or a Ctrl-C
    try:
        yield from c_array_stream(stream)
    except RuntimeError as error:  # what nanoarrow's own are
        reason = str(error).partition("failed (")[2].partition("): ")[2] or str(error)
        raise (duckdb.OutOfMemoryException if "Out of Memory" in reason else duckdb.Error)(reason) from None


class _Buffers:
    """The values of an Arrow column without NULLs: `ends` of texts, and what is stored."""

    def __init__(self, child: Any) -> None:
        assert child.offset == 0 and child.null_count <= 0, "whole vectors are handed over, and no NULL is selected"
        last = child.buffer(child.n_buffers - 1)
        self.stored = memoryview(last).cast("B") if last.size_bytes else memoryview(b"")
        self.ends = memoryview(child.buffer(1)) if child.n_buffers > 2 else self.stored


class _Part:
    """Neighbours of one Arrow array."""

    def __init__(self, columns: Sequence[_Buffers], first: int, last: int) -> None:
        self._columns = columns
        self._first, self._last = first, last
        self.rows = last - first

    def fixed(self, column: int, size: int) -> memoryview:
        return self._columns[column].stored[self._first * size : self._last * size]

    def texts(self, column: int) -> tuple[list[int], bytes]:
        """(where each begins and the last one ends, counted from anywhere; what is stored between)."""
        found = self._columns[column]
        ends: list[int] = found.ends[self._first : self._last + 1].tolist()
        return ends, bytes(found.stored[ends[0] : ends[-1]])


def _block(parts: Sequence[_Part], packed: Sequence[Packed]) -> tuple[bytes, bytes]:
    """Column 0 is the keys; behind the packed ones come the flags of texts that may be NULL, in their order."""
    sections, flags = [], 1 + len(packed)
    for number, form in enumerate(packed, 1):
        if form.form == "text":
            marks = b""
            if form.null is not None:
                marks = b"".join([part.fixed(flags, 1) for part in parts])
                flags += 1
            sections.append(pack_texts(*_joined([part.texts(number) for part in parts]), marks))
        else:
            size = calcsize(f"<{form.code}")
            sections.append(b"".join([part.fixed(number, size) for part in parts]))
    return pack_block(*_joined([part.texts(0) for part in parts]), sections)


def _joined(texts: Sequence[tuple[list[int], bytes]]) -> tuple[list[int], bytes]:
    ends, stored = texts[0]
    for more, following in texts[1:]:
        ends = ends + [end - more[0] + ends[-1] for end in more[1:]]
        stored += following
    return ends, stored
