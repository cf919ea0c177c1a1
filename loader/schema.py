"""Column types: what a source may bring, what the twin stores, what a key may be.

Rule: the *canonical* type of a column is the one Parquet keeps exactly and JSON can
render; every other type has one cast to it or is refused with a sentence. Decided from
the type alone, so it is a pure function.

    HUGEINT, UHUGEINT                 → DECIMAL(38,0), an error when it does not fit
    ENUM, UUID, BIT, BIGNUM, TIME*, INTERVAL → VARCHAR
    TIMESTAMP_S, _MS, _NS             → TIMESTAMP (microseconds: finer digits are cut)
    T[n]                              → T[]
    "NULL"                            → INTEGER
"""

import difflib
from collections.abc import Iterable, Sequence

import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from havok.keys import KeyColumn, KeyKind, kind_of
from havok.manifest import Column, Index
from havok.settings import DatasetSettings
from loader import duck

_PLAIN = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "utinyint": "UTINYINT",
    "usmallint": "USMALLINT",
    "uinteger": "UINTEGER",
    "ubigint": "UBIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "blob": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "hugeint": "DECIMAL(38,0)",
    "uhugeint": "DECIMAL(38,0)",
    "enum": "VARCHAR",
    "uuid": "VARCHAR",
    "bit": "VARCHAR",
    "bignum": "VARCHAR",
    "time": "VARCHAR",
    "time_ns": "VARCHAR",
    "time with time zone": "VARCHAR",
    "interval": "VARCHAR",
    "timestamp_s": "TIMESTAMP",
    "timestamp_ms": "TIMESTAMP",
    "timestamp_ns": "TIMESTAMP",
    "null": "INTEGER",
}


class Schema(msgspec.Struct, frozen=True):
    """What a version is made of, before there is one."""

    columns: tuple[Column, ...]
    key: tuple[KeyColumn, ...]
    indexes: tuple[Index, ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((column.name, column.type) for column in self.columns)


def resolve(columns: Sequence[tuple[str, str]], settings: DatasetSettings) -> Schema:
    """(name, canonical type) pairs under a dataset's settings. Raises LoadError for a column that is not there."""
    types = dict(columns)

    def key_column(column: str, role: str) -> KeyColumn:
        if column not in types:
            raise _absent(column, role, types)
        return KeyColumn(name=column, kind=key_kind(column, types[column]))

    for column in settings.quality.not_null:
        if column not in types:
            raise _absent(column, "not_null", types)
    return Schema(
        columns=tuple(Column(name=column, type=kind) for column, kind in columns),
        key=tuple(key_column(column, "the key") for column in settings.key),
        indexes=tuple(
            Index(name=label, columns=tuple(key_column(column, f"index {label}") for column in indexed))
            for label, indexed in settings.indexes.items()
        ),
    )


def _absent(column: str, role: str, types: Iterable[str]) -> LoadError:
    return LoadError(f"{role} names column {column}, which the source does not have{nearest(column, list(types))}")


def nearest(column: str, columns: Sequence[str]) -> str:
    """`; did you mean X?`, or what there is."""
    folded = {known.casefold(): known for known in columns}
    close = difflib.get_close_matches(column.casefold(), folded, n=1)
    return f"; did you mean {folded[close[0]]}?" if close else f"; it has {', '.join(columns)[:200]}"


def canonical(kind: DuckDBPyType, column: str) -> str:
    """The SQL text of the type the twin stores. Raises LoadError for what has none."""
    if kind.id == "varchar":
        return "JSON" if is_json(kind) else "VARCHAR"
    if kind.id == "decimal":
        return str(kind).replace(" ", "")
    if kind.id in ("list", "array"):
        return canonical(element(kind), column) + "[]"
    if kind.id == "struct":
        inner = ", ".join(f"{duck.name(field)} {canonical(child, column)}" for field, child in fields(kind))
        return f"STRUCT({inner})"
    if kind.id == "map":
        key, value = key_and_value(kind)
        return f"MAP({canonical(key, column)}, {canonical(value, column)})"
    if kind.id in _PLAIN:
        return _PLAIN[kind.id]
    raise LoadError(
        f"column {column} has type {kind}, which has no JSON form; cast it in a SELECT source, or under `columns`"
    )


def is_json(kind: DuckDBPyType) -> bool:
    return kind.id == "varchar" and str(kind) == "JSON"


def element(kind: DuckDBPyType) -> DuckDBPyType:
    return fields(kind)[0][1]


def key_and_value(kind: DuckDBPyType) -> tuple[DuckDBPyType, DuckDBPyType]:
    (_, key), (_, value) = fields(kind)
    return key, value


def fields(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """The typed children of a nested type; sizes and scales are not among them."""
    return [(label, child) for label, child in kind.children if isinstance(child, DuckDBPyType)]


def key_kind(column: str, type_text: str) -> KeyKind:
    """The key encoding of a canonical type. Raises LoadError for one without an order-preserving form."""
    kind = kind_of(type_text)
    if kind is not None:
        return kind
    cast = "VARCHAR" if type_text in ("BLOB", "JSON") else "BIGINT, DECIMAL(38,0) or VARCHAR"
    raise LoadError(
        f"column {column} has type {type_text} and cannot be part of a key or an index; "
        f"cast it to {cast} in a SELECT source, or under `columns`"
    )


def drift(live: Iterable[tuple[str, str]], candidate: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """(name, type) pairs of two schemas → one sentence per difference."""
    before, after = dict(live), dict(candidate)
    return (
        *(f"column {column} removed (was {before[column]})" for column in before if column not in after),
        *(f"column {column} added ({after[column]})" for column in after if column not in before),
        *(
            f"column {column} changed type from {before[column]} to {after[column]}"
            for column in before
            if column in after and before[column] != after[column]
        ),
    )
