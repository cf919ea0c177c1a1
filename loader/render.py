"""SQL that renders a row of the twin as JSON text and its key as bytes.

Rule: what a caller reads is decided here, once, at build time. Numbers keep their
digits (an integer, a DECIMAL and a JSON column are copied as text, a double in its
shortest form, a FLOAT as the double it equals); NaN and infinities, of dates and
timestamps too, become null and are counted by `nonfinite`; dates and timestamps are
ISO 8601, with time zone as UTC with Z; blobs are base64; lists, structs and maps nest,
a map's keys as strings. Key bytes equal `havok.keys.encode` of the same values.

Text is concatenated rather than given to DuckDB's `to_json`, which prints NaN and drops
a DECIMAL's trailing zeros; it takes the same time.
"""

from collections.abc import Sequence

import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.keys import KeyKind
from loader import duck, schema

Columns = Sequence[tuple[str, DuckDBPyType]]

_NONFINITE = {"float", "double", "date", "timestamp", "timestamp with time zone"}


def row_json(columns: Columns) -> str:
    """The whole row as a JSON object, VARCHAR."""
    return _object([(column, kind, duck.name(column)) for column, kind in columns], 0)


def _object(members: Sequence[tuple[str, DuckDBPyType, str]], depth: int) -> str:
    """Braces around members; neighbouring literals are joined so that one call concatenates all."""
    parts: list[str] = []
    literal = "{"
    for label, kind, expression in members:
        parts.append(duck.text(literal + _label(label) + ":"))
        parts.append(_or_null(expression, kind, depth))
        literal = ","
    return f"concat({', '.join([*parts, duck.text('}' if members else '{}')])})"


def _label(label: str) -> str:
    return msgspec.json.encode(label).decode()


def _or_null(expression: str, kind: DuckDBPyType, depth: int) -> str:
    return f"coalesce({_value(expression, kind, depth)}, 'null')"


def _value(expression: str, kind: DuckDBPyType, depth: int) -> str:
    """JSON text of one value, VARCHAR; SQL NULL for null."""
    if kind.id == "varchar":
        return f"{expression}::VARCHAR" if schema.is_json(kind) else f"to_json({expression})::VARCHAR"
    if kind.id in ("float", "double"):
        return f"CASE WHEN isfinite({expression}) THEN {expression}::DOUBLE::VARCHAR END"
    if kind.id == "decimal":
        return _decimal(expression, kind)
    if kind.id in ("date", "timestamp", "timestamp with time zone"):
        return _instant(expression, kind.id)
    if kind.id == "blob":
        return f"""('"' || to_base64({expression}) || '"')"""
    if kind.id in ("list", "array"):
        item = f"x{depth}"
        inner = _or_null(item, schema.element(kind), depth + 1)
        return f"('[' || array_to_string(list_transform({expression}, lambda {item}: {inner}), ',') || ']')"
    if kind.id == "map":
        return _map(expression, kind, depth)
    if kind.id == "struct":
        members = [
            (label, child, f"struct_extract({expression}, {duck.text(label)})") for label, child in schema.fields(kind)
        ]
        return f"CASE WHEN {expression} IS NOT NULL THEN {_object(members, depth)} END"
    return f"{expression}::VARCHAR"


def _decimal(expression: str, kind: DuckDBPyType) -> str:
    """Digits as they are; DuckDB prints DECIMAL(2,2) without the zero JSON wants before the point."""
    width, scale = (int(value) for _, value in kind.children if isinstance(value, int))
    printed = f"{expression}::VARCHAR"
    if width > scale:
        return printed
    return f"CASE WHEN {expression} < 0 THEN '-0' || substr({printed}, 2) ELSE '0' || {printed} END"


def _instant(expression: str, kind: str) -> str:
    if kind == "date":
        shown = f"""'"' || {expression}::VARCHAR || '"'"""
    elif kind == "timestamp":
        shown = f"""'"' || replace({expression}::VARCHAR, ' ', 'T') || '"'"""
    else:
        shown = f"""'"' || replace(make_timestamp(epoch_us({expression}))::VARCHAR, ' ', 'T') || 'Z"'"""
    return f"CASE WHEN isfinite({expression}) THEN {shown} END"


def _map(expression: str, kind: DuckDBPyType, depth: int) -> str:
    item = f"x{depth}"
    _, value = schema.key_and_value(kind)
    member = f"concat(to_json({item}.key::VARCHAR), ':', {_or_null(f'{item}.value', value, depth + 1)})"
    entries = f"list_transform(map_entries({expression}), lambda {item}: {member})"
    return "('{' || array_to_string(" + entries + ", ',') || '}')"


def nonfinite(columns: Columns) -> str:
    """An aggregate: how many values of the table are rendered as null although they are not NULL."""
    counts = [_nonfinite(duck.name(column), kind, 0) for column, kind in columns]
    sums = [f"coalesce(sum({count}), 0)" for count in counts if count]
    return f"CAST({' + '.join(sums)} AS BIGINT)" if sums else "0"


def _nonfinite(expression: str, kind: DuckDBPyType, depth: int) -> str | None:
    if kind.id in _NONFINITE:
        return f"CAST(NOT isfinite({expression}) AS INTEGER)"
    if kind.id == "struct":
        inner = [
            _nonfinite(f"struct_extract({expression}, {duck.text(label)})", child, depth)
            for label, child in schema.fields(kind)
        ]
        counts = [f"coalesce({count}, 0)" for count in inner if count]
        return f"({' + '.join(counts)})" if counts else None
    item = f"x{depth}"
    if kind.id in ("list", "array"):
        count = _nonfinite(item, schema.element(kind), depth + 1)
        return f"list_sum(list_transform({expression}, lambda {item}: {count}))" if count else None
    if kind.id == "map":
        count = _nonfinite(item, schema.key_and_value(kind)[1], depth + 1)
        return f"list_sum(list_transform(map_values({expression}), lambda {item}: {count}))" if count else None
    return None


def key_bytes(kinds: Sequence[tuple[str, KeyKind]]) -> str:
    """The full key encoding, BLOB, of (column, kind) pairs none of which is NULL."""
    return "(" + " || ".join(_element(duck.name(column), kind) for column, kind in kinds) + ")"


def nullable_bytes(kinds: Sequence[tuple[str, KeyKind]]) -> str:
    """The same as `havok.keys.encode_nullable`; an infinite date counts as NULL, as it is rendered."""
    parts = []
    for column, kind in kinds:
        expression = duck.name(column)
        empty = f"{expression} IS NULL"
        if kind in ("date", "timestamp"):
            empty += f" OR NOT isfinite({expression})"
        parts.append(rf"CASE WHEN {empty} THEN '\x02'::BLOB ELSE '\x01'::BLOB || {_element(expression, kind)} END")
    return "(" + " || ".join(parts) + ")"


def _element(expression: str, kind: KeyKind) -> str:
    if kind == "string":
        escaped = (
            f"CASE WHEN contains({expression}, chr(0)) OR contains({expression}, chr(1)) "
            f"THEN replace(replace({expression}, chr(1), chr(1) || chr(2)), chr(0), chr(1) || chr(1)) "
            f"ELSE {expression} END"
        )
        return rf"encode({escaped}) || '\x00'::BLOB"
    if kind == "bool":
        return rf"CASE WHEN {expression} THEN '\x01'::BLOB ELSE '\x00'::BLOB END"
    if kind == "uint":
        return f"{expression}::UBIGINT::BIT::BLOB"
    if kind == "wide":
        return f"xor({expression}::HUGEINT, (-170141183460469231731687303715884105728)::HUGEINT)::BIT::BLOB"
    number = {"int": "{}::BIGINT", "date": "({} - DATE '1970-01-01')", "timestamp": "epoch_us({})"}[kind]
    return f"xor({number.format(expression)}, (-9223372036854775808)::BIGINT)::BIT::BLOB"
