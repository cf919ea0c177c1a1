"""A source as a SQL relation of canonical columns.

Rule: Parquet and SELECT bring their types, and `columns` casts them; text has no types of its
own, and what it is read as is `loader.text`'s. A cast that would change a value is an error.
No column is dropped or renamed on the way.
"""

import re
from collections.abc import Mapping, Sequence

import duckdb

from havok.errors import LoadError
from loader import duck, exact, partitions, text
from loader.relation import Relation, canonical, describe, resolve_type
from loader.source import Files, Query, Source

_RENAMED = re.compile(r"(.+)_[0-9]+")


def read(connection: duck.Session, source: Source, overrides: Mapping[str, str], live: Mapping[str, str]) -> Relation:
    """`overrides`: the dataset's `columns`; `live`: the live version's types, used for text only."""
    try:
        if isinstance(source, Query):
            sql = _one_select(source.sql)
            _own_names(source, [row[0] for row in connection.execute(f"DESCRIBE {sql}").fetchall()])
            return _typed(connection, source, f"SELECT * FROM (\n{sql}\n)", overrides)
        if source.format == "parquet":
            sql = _parquet(connection, source)
            if _looks_renamed([column for column, _ in describe(connection, sql)]):
                from pyarrow.parquet import read_schema  # 50 MB that no other load needs

                for path in source.paths:
                    _own_names(source, read_schema(path).names)
            return _typed(connection, source, sql, overrides)
        relation = text.read(connection, source, overrides, live)
        names = [column for column, _ in relation.columns]
        if source.format == "json" and _looks_renamed(names):
            _own_names(source, text.json_names(connection, source))
        return relation
    except duckdb.Error as error:
        raise LoadError(f"source {source.label}: {duck.explain(error)}") from None


def _parquet(connection: duck.Session, source: Files) -> str:
    reader = f"read_parquet({text.paths(source)}, union_by_name = true, hive_partitioning = false"
    types = partitions.types(source)
    if not types:
        return f"SELECT * FROM {reader})"
    partitions.check_names(source, [column for column, _ in describe(connection, f"SELECT * FROM {reader})")])
    casts = [f"CAST({duck.name(column)} AS {kind}) AS {duck.name(column)}" for column, kind in types.items()]
    rows = partitions.joined(source, f"{reader}{partitions.option(source)})")
    return f"SELECT * REPLACE ({', '.join(casts)}) FROM {rows}"


def _looks_renamed(names: Sequence[str]) -> bool:
    """Whether DuckDB may have told two columns apart by a number, names being equal to it without regard to case."""
    folded = {name.casefold() for name in names}
    return any(found[1].casefold() in folded for name in names if (found := _RENAMED.fullmatch(name)))


def _own_names(source: Source, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.get(name.casefold())
        if other is not None:
            twice = f"column {name} twice" if name == other else f"columns {other} and {name}, alike but for case"
            raise LoadError(f"source {source.label} has {twice}; every name must be its own")
        seen[name.casefold()] = name


def _one_select(sql: str) -> str:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise LoadError("the source must be one SELECT statement")
    return sql


def _typed(connection: duck.Session, source: Source, sql: str, overrides: Mapping[str, str]) -> Relation:
    columns = describe(connection, sql)
    text.check_known(overrides, [column for column, _ in columns])
    if overrides:
        casts = [
            f"CAST({duck.name(c)} AS {resolve_type(connection, c, overrides[c])}) AS {duck.name(c)}" if c in overrides
            else duck.name(c)
            for c, _ in columns
        ]  # fmt: skip
        sql = f"SELECT {', '.join(casts)} FROM ({sql})"
        columns = describe(connection, sql)
    return canonical(source, sql, columns)


def explain(relation: Relation, error: BaseException) -> str:
    """The reason a relation could not be read through, with file, line, column and value where known."""
    found = exact.misfit(error)
    if found is None:
        return duck.explain(error)
    column, kind, value = found
    where = relation.source.label
    must_match = dict(relation.checked).get(column)
    if isinstance(relation.source, Files) and must_match is not None:
        where = text.place_of(relation.source, column, value, re.compile(must_match)) or where
    return (
        f"{where}: column {column}: {value!r} is not {duck.article(kind)} {kind}\n"
        f'mend the value, or widen the column with `columns = {{ {column} = "VARCHAR" }}` in the dataset'
    )
