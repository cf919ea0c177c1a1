"""Blocks of columns: which form each column has, and the entries of one order.

Rule: a form is chosen from what the twin's values are, all of them: their range, how many are
NULL, how many texts differ. A column without a small form has none, and queries that need
it read rows. DuckDB turns values into the numbers that are stored, Arrow hands them over in
buffers, so that nothing here is done once per value but the keys.
"""

from collections.abc import Iterator, Sequence
from struct import calcsize
from typing import Any

import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.blocks import BLOCK_ROWS, Blocks, pack_block
from havok.packing import Packed, pack_texts
from havok.rows import seal
from loader import duck, twin
from loader.schema import Schema, is_json
from loader.twin import Twin

WORDS_MAX = 4096  # different texts of a column that are kept as words: a quarter of a megabyte in a worker
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
    """What is packed, by which SQL. `words`: of the columns that have them."""

    blocks: Blocks
    values: tuple[str, ...]  # SQL of each column's stored form
    words: dict[str, list[str | None]]


def plan(connection: duck.Session, candidate: Twin, schema: Schema) -> Plan | None:
    """None: no order of this version has blocks. Scans the twin once, and once for the words.

    The key has blocks when it has several columns, an index always, unless keys may be hashed.
    """
    orders: list[str | None] = []
    if len(schema.key) > 1 and not twin.may_hash(connection, candidate, schema.key):
        orders.append(None)
    for index in schema.indexes:
        if not twin.may_hash(connection, candidate, index.columns + schema.key):
            orders.append(index.name)
    if not orders:
        return None
    packed: list[tuple[Packed, str]] = []
    words: dict[str, list[str | None]] = {}
    measured = _measured(connection, candidate)
    for number, (name, kind) in enumerate(candidate.columns):
        if kind.id == "varchar" and not is_json(kind):
            found = _text(connection, candidate, name, number, measured[name], words)
        else:
            found = _number(name, kind, measured.get(name, ()))
        if found is not None:
            packed.append(found)
    blocks = Blocks(columns=tuple(column for column, _ in packed), orders=tuple(orders))
    return Plan(blocks, tuple(sql for _, sql in packed), words)


def _measured(connection: duck.Session, candidate: Twin) -> dict[str, tuple[Any, ...]]:
    """(NULLs, least, greatest) of numbers, (NULLs, about how many differ, mean and most bytes) of texts."""
    asked: list[tuple[str, list[str]]] = []
    for name, kind in candidate.columns:
        quoted = duck.name(name)
        if kind.id == "varchar" and not is_json(kind):
            sizes = f"coalesce(avg(strlen({quoted})), 0), coalesce(max(strlen({quoted})), 0)"
            asked.append((name, [f"count(*) - count({quoted})", f"approx_count_distinct({quoted})", sizes]))
        elif (stored := _stored(name, kind)) is not None:
            asked.append((name, [f"count(*) - count({stored})", f"min({stored})", f"max({stored})"]))
    if not asked:
        return {}
    aggregates = [text for _, texts in asked for text in texts]
    row = list(duck.one(connection, f"SELECT {', '.join(aggregates)} FROM {candidate.table}"))
    found = {}
    for name, texts in asked:
        size = ", ".join(texts).count("coalesce(") or 1
        width = len(texts) - 1 + size
        found[name], row = tuple(row[:width]), row[width:]
    return found


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
        if len(found) <= WORDS_MAX:
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
    from nanoarrow import c_array_stream  # a process that loads no table with blocks does without

    flags = [
        f"CAST({duck.name(column.name)} IS NULL AS UTINYINT)"
        for column in made.blocks.columns
        if column.form == "text" and column.null is not None
    ]
    selected = ", ".join([twin.ENCODING, *made.values, *flags])
    relation = connection.sql(f"SELECT {selected} FROM ({query})")
    rest: list[_Part] = []
    for array in c_array_stream(relation.__arrow_c_stream__()):
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
