"""A relation: SQL that selects a source's rows in canonical types.

Rule: no row is read to make one; a value that does not fit shows when the rows are.
"""

from collections.abc import Sequence

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from loader import duck, schema
from loader.source import Source


class Relation(msgspec.Struct, frozen=True):
    """`sql` selects `columns` (name, canonical type), in the source's order."""

    sql: str
    columns: tuple[tuple[str, str], ...]
    source: Source
    checked: tuple[tuple[str, str], ...] = ()  # (column, pattern) that the text of the column must match


def describe(connection: duck.Session, sql: str) -> list[tuple[str, DuckDBPyType]]:
    relation = connection.sql(sql)
    return list(zip(relation.columns, relation.types, strict=True))


def canonical(source: Source, sql: str, columns: Sequence[tuple[str, DuckDBPyType]]) -> Relation:
    """The relation of a query whose columns are of any type. Raises LoadError for one without a canonical type."""
    kinds = [(column, kind, schema.canonical(kind, column)) for column, kind in columns]
    selected = [
        duck.name(column) if str(kind) == wanted else f"CAST({duck.name(column)} AS {wanted}) AS {duck.name(column)}"
        for column, kind, wanted in kinds
    ]
    return Relation(
        sql=f"SELECT {', '.join(selected)} FROM ({sql})",
        columns=tuple((column, wanted) for column, _, wanted in kinds),
        source=source,
    )


def resolve_type(connection: duck.Session, column: str, wanted: str) -> str:
    """A type's text as DuckDB prints it. Raises LoadError for what is no type."""
    try:
        return str(connection.sql(f"SELECT CAST(NULL AS {wanted}) AS t").types[0])
    except duckdb.Error:
        raise LoadError(f"`columns` gives {column} the type {wanted}, which DuckDB does not know") from None
