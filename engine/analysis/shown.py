"""SQL that brings a column of DuckDB's into the form in which the engine's answers have it.

Rule: what Python has an exact value for stays one; the rest becomes JSON text, the same that
the loader stores for such a column (`loader.render`), which a test compares. Infinite and
not-a-number are NULL. Types are DuckDB's objects, which this module never makes or imports.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from engine.sqltype import family

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_AS_TIMESTAMP = {"timestamp_s", "timestamp_ms", "timestamp_ns"}
_NUMERIC_TEXT = {"hugeint", "uhugeint", "tinyint", "utinyint", "smallint", "usmallint", "integer", "uinteger",
                 "bigint", "ubigint", "boolean", "bignum"}  # fmt: skip


def type_name(kind: "DuckDBPyType") -> str:
    """As a manifest has it: `DECIMAL(10,2)`. What is bare NULL is an INTEGER, as in a twin."""
    if kind.id == "null" or str(kind) in ("NULL", '"NULL"'):
        return "INTEGER"
    if kind.id in _AS_TIMESTAMP:
        return "TIMESTAMP"
    return str(kind).replace(" ", "") if kind.id == "decimal" else str(kind)


def expression(column: str, kind: "DuckDBPyType") -> str:
    """`column`: an SQL name. VARCHAR that holds JSON where the type's family is opaque."""
    found = family(type_name(kind))
    if found == "opaque":
        return _json(column, kind, 0)
    if kind.id in _AS_TIMESTAMP:
        column = f"{column}::TIMESTAMP"
    if kind.id == "timestamp with time zone":
        column_utc = f"make_timestamp(epoch_us({column}))"
        return f"CASE WHEN isfinite({column}) THEN {column_utc} END"
    return (
        f"CASE WHEN isfinite({column}) THEN {column} END" if found in ("double", "float", "date", "moment") else column
    )


def _json(value: str, kind: "DuckDBPyType", depth: int) -> str:
    """JSON text of a value, VARCHAR; SQL NULL for null."""
    if kind.id == "varchar" and str(kind) == "JSON":
        return f"{value}::VARCHAR"
    if kind.id in _NESTED:
        return _NESTED[kind.id](value, kind, depth)
    if kind.id in ("float", "double"):
        return f"CASE WHEN isfinite({value}) THEN {value}::DOUBLE::VARCHAR END"
    if kind.id == "decimal":
        return _decimal(value, kind)
    if kind.id in ("date", *_AS_TIMESTAMP, "timestamp", "timestamp with time zone"):
        return _instant(value, kind.id)
    if kind.id == "blob":
        return f"""('"' || to_base64({value}) || '"')"""
    return f"{value}::VARCHAR" if kind.id in _NUMERIC_TEXT else f"to_json({value}::VARCHAR)::VARCHAR"


def _or_null(value: str, kind: "DuckDBPyType", depth: int) -> str:
    return f"coalesce({_json(value, kind, depth)}, 'null')"


def _decimal(value: str, kind: "DuckDBPyType") -> str:
    """DuckDB prints DECIMAL(2,2) without the zero that JSON wants before the point."""
    width, scale = (int(number) for _, number in kind.children if isinstance(number, int))
    printed = f"{value}::VARCHAR"
    if width > scale:
        return printed
    return f"CASE WHEN {value} < 0 THEN '-0' || substr({printed}, 2) ELSE '0' || {printed} END"


def _instant(value: str, kind: str) -> str:
    if kind == "date":
        shown = f"""'"' || {value}::VARCHAR || '"'"""
    elif kind == "timestamp with time zone":
        shown = f"""'"' || replace(make_timestamp(epoch_us({value}))::VARCHAR, ' ', 'T') || 'Z"'"""
    else:
        shown = f"""'"' || replace({value}::TIMESTAMP::VARCHAR, ' ', 'T') || '"'"""
    return f"CASE WHEN isfinite({value}) THEN {shown} END"


def _list(value: str, kind: "DuckDBPyType", depth: int) -> str:
    item = f"x{depth}"
    inner = _or_null(item, _members(kind)[0][1], depth + 1)
    items = f"{value}::{_members(kind)[0][1]}[]" if kind.id == "array" else value
    return f"('[' || array_to_string(list_transform({items}, lambda {item}: {inner}), ',') || ']')"


def _struct(value: str, kind: "DuckDBPyType", depth: int) -> str:
    parts, literal = [], "{"
    for number, (label, child) in enumerate(_members(kind), 1):
        parts.append(_text(f"{literal}{msgspec.json.encode(label).decode()}:"))
        parts.append(_or_null(f"struct_extract_at({value}, {number})", child, depth))
        literal = ","
    return f"CASE WHEN {value} IS NOT NULL THEN concat({', '.join([*parts, _text('}')])}) END"


def _map(value: str, kind: "DuckDBPyType", depth: int) -> str:
    item = f"x{depth}"
    (_, _), (_, child) = _members(kind)
    member = f"concat(to_json({item}.key::VARCHAR), ':', {_or_null(f'{item}.value', child, depth + 1)})"
    return f"('{{' || array_to_string(list_transform(map_entries({value}), lambda {item}: {member}), ',') || '}}')"


def _members(kind: "DuckDBPyType") -> list[tuple[str, Any]]:
    """The typed children of a nested type; sizes are not among them."""
    return [(label, child) for label, child in kind.children if not isinstance(child, int)]


def _text(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"


_NESTED: dict[str, Callable[[str, "DuckDBPyType", int], str]] = {
    "list": _list,
    "array": _list,
    "struct": _struct,
    "map": _map,
}
