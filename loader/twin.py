"""The cold twin: the candidate's rows as one sorted Parquet file, and what is read from it.

Rule: step 1 writes the twin and everything else is derived from it, so rows, indexes,
gates and answers of an analytical query cannot disagree. It is sorted by key in the
order of `havok.keys`: DuckDB's binary string order is that order.
"""

from pathlib import Path

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from havok.keys import KEY_BYTES_MAX, KeyColumn, KeyKind
from havok.manifest import Index
from loader import duck, render
from loader.schema import Schema

GROUPS_IN_MEMORY = 64  # a row group is one page per column and is held whole, by writer and reader, per thread
ENCODING, BODY = '"havok encoding"', '"havok body"'  # names that no column has
_FIXED_BYTES = {"int": 8, "uint": 8, "wide": 16, "bool": 1, "date": 8, "timestamp": 8, "string": 0}


class Twin(msgspec.Struct, frozen=True):
    """`columns` carry the types as the file gives them back."""

    path: str
    columns: tuple[tuple[str, DuckDBPyType], ...]

    @property
    def table(self) -> str:
        return f"read_parquet({duck.path(self.path)}, hive_partitioning = false)"


def write(connection: duck.Session, relation: str, schema: Schema, path: Path, memory_mb: int) -> int:
    """Sorts `relation` by key into `path`; rows written. Raises duckdb.Error, for the reader to explain."""
    group_mb = max(1, memory_mb // GROUPS_IN_MEMORY)
    order = ", ".join(f"{duck.name(column.name)} ASC NULLS LAST" for column in schema.key)
    copied = connection.execute(
        f"COPY (SELECT {duck.names([column.name for column in schema.columns])} FROM ({relation}) ORDER BY {order}) "
        f"TO {duck.text(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '{group_mb}MB')"
    ).fetchone()
    return int(copied[0]) if copied else 0


def open_twin(connection: duck.Session, path: Path) -> Twin:
    """Reads the schema of a twin. Raises LoadError when it is no Parquet file."""
    try:
        found = Twin(path=str(path), columns=())
        relation = connection.sql(f"SELECT * FROM {found.table}")
        return msgspec.structs.replace(found, columns=tuple(zip(relation.columns, relation.types, strict=True)))
    except duckdb.Error as error:
        raise LoadError(duck.explain(error)) from None


def empty_columns(connection: duck.Session, path: Path) -> set[str]:
    """Columns without any value, by the file's own statistics. Raises LoadError when it is no Parquet file."""
    counted = "path_in_schema, sum(num_values), sum(stats_null_count)"
    found = duck.rows(connection, f"SELECT {counted} FROM parquet_metadata({duck.path(path)}) GROUP BY ALL")
    return {str(name) for name, values, nulls in found if values == nulls}


def rows_query(twin: Twin, key: tuple[KeyColumn, ...]) -> str:
    """(key encoding, row JSON) of each row, both BLOB, in key order."""
    return f"SELECT {_key(key)} AS {ENCODING}, encode({render.row_json(twin.columns)}) AS {BODY} FROM {twin.table}"


def index_query(twin: Twin, key: tuple[KeyColumn, ...], index: Index) -> str:
    """(index encoding, key encoding) of each row, both BLOB, in index order."""
    entry = _entry(key, index)
    return f"SELECT {entry} AS {ENCODING}, {_key(key)} AS {BODY} FROM {twin.table} ORDER BY {_order(key, index)}"


def ordered(twin: Twin, key: tuple[KeyColumn, ...], index: Index | None = None) -> str:
    """The encoding of each entry and all columns, in the order of the key or of an index."""
    if index is None:
        return f"SELECT {_key(key)} AS {ENCODING}, * FROM {twin.table}"
    return f"SELECT {_entry(key, index)} AS {ENCODING}, * FROM {twin.table} ORDER BY {_order(key, index)}"


def _entry(key: tuple[KeyColumn, ...], index: Index) -> str:
    return f"{render.nullable_bytes(_pairs(index.columns))} || {_key(key)}"


def _order(key: tuple[KeyColumn, ...], index: Index) -> str:
    order = [f"{_finite(column)} ASC NULLS LAST" for column in index.columns]
    return ", ".join([*order, *(duck.name(column.name) for column in key)])


def hashed_orders(connection: duck.Session, twin: Twin, schema: Schema) -> frozenset[str | None]:
    """The orders, None for the key's, of which an encoding may exceed KEY_BYTES_MAX: by the longest strings."""
    orders = {None: schema.key} | {index.name: index.columns + schema.key for index in schema.indexes}
    strings = sorted({column.name for columns in orders.values() for column in columns if column.kind == "string"})
    longest: dict[str, int] = {}
    if strings:
        sizes = ", ".join(f"coalesce(max(strlen({duck.name(string)})), 0)" for string in strings)
        found = duck.one(connection, f"SELECT {sizes} FROM {twin.table}")
        longest = {string: 2 * int(size) + 1 for string, size in zip(strings, found, strict=True)}  # escaped, ended
    most = {
        name: sum(1 + _FIXED_BYTES[column.kind] + longest.get(column.name, 0) for column in columns)
        for name, columns in orders.items()
    }
    return frozenset(name for name, size in most.items() if size > KEY_BYTES_MAX)


def _key(key: tuple[KeyColumn, ...]) -> str:
    return render.key_bytes(_pairs(key))


def _pairs(columns: tuple[KeyColumn, ...]) -> list[tuple[str, KeyKind]]:
    return [(column.name, column.kind) for column in columns]


def _finite(column: KeyColumn) -> str:
    quoted = duck.name(column.name)
    if column.kind in ("date", "timestamp"):
        return f"CASE WHEN isfinite({quoted}) THEN {quoted} END"
    return quoted
