"""A source as a SQL relation of canonical columns.

Rule: text has no types of its own. Where a column's type is known, from `columns` or
from the live version, text must read as that type *without loss*: DuckDB would round
'1.5' to 2 in a BIGINT column, so a text that does not fit exactly is an error that names
file, line, column and value. Where it is unknown, it is sniffed over the whole file.
Parquet and SELECT bring their types; `columns` casts them.
"""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO, cast

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from loader import duck, schema
from loader.source import Files, Query, Source

_DELIMITERS = (",", ";", "|", "\t")
_HEADER_BYTES_MAX = 1 << 20  # a header line longer than this is no CSV
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*(\d+)\)")
_NUMBER = r"\s*[+-]?[0-9]*"


class Relation(msgspec.Struct, frozen=True):
    """`sql` selects `columns` (name, canonical type), in the source's order."""

    sql: str
    columns: tuple[tuple[str, str], ...]
    source: Source
    checked: tuple[tuple[str, str], ...] = ()  # (column, pattern) that the text of the column must match


def read(connection: duck.Session, source: Source, overrides: Mapping[str, str], live: Mapping[str, str]) -> Relation:
    """`overrides`: the dataset's `columns`; `live`: the live version's types, used for text only."""
    try:
        if isinstance(source, Query):
            return _typed(connection, source, f"SELECT * FROM (\n{_one_select(source.sql)}\n)", overrides)
        if source.format == "parquet":
            options = f"union_by_name = true, hive_partitioning = {_bool(source.partitioned)}"
            return _typed(connection, source, f"SELECT * FROM read_parquet({_paths(source)}, {options})", overrides)
        return _text(connection, source, overrides, live)
    except duckdb.Error as error:
        raise LoadError(f"source {source.label}: {duck.explain(error)}") from None


def _one_select(sql: str) -> str:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise LoadError("the source must be one SELECT statement")
    return sql


def _typed(connection: duck.Session, source: Source, sql: str, overrides: Mapping[str, str]) -> Relation:
    columns = _describe(connection, sql)
    _known(overrides, [column for column, _ in columns])
    if overrides:
        casts = [
            f"CAST({duck.name(c)} AS {_type(connection, c, overrides[c])}) AS {duck.name(c)}" if c in overrides
            else duck.name(c)
            for c, _ in columns
        ]  # fmt: skip
        sql = f"SELECT {', '.join(casts)} FROM ({sql})"
        columns = _describe(connection, sql)
    return _canonical(source, sql, columns)


def _text(connection: duck.Session, source: Files, overrides: Mapping[str, str], live: Mapping[str, str]) -> Relation:
    header = _headers(source) if source.format == "csv" else []
    sniffed = dict(_describe_text(connection, source))
    if not sniffed:
        raise LoadError(f"source {source.label} has no columns")
    if header and set(header) - set(sniffed):  # DuckDB renames a column that stands twice
        raise LoadError(
            f"source {source.label}: the header reads {', '.join(header)[:200]}; every name must be its own"
        )
    _known(overrides, list(sniffed))
    wanted = {
        column: _type(connection, column, overrides.get(column) or live[column])
        for column in sniffed
        if column in overrides or column in live
    }
    patterns = {
        column: pattern
        for column, kind in wanted.items()
        if (pattern := _exact_text(str(sniffed[column]), kind)) is not None
    }
    types = {c: "VARCHAR" if c in patterns else wanted.get(c, str(kind)) for c, kind in sniffed.items()}
    selected = [
        _guarded(column, wanted[column], patterns[column]) if column in patterns else duck.name(column)
        for column in sniffed
    ]
    sql = f"SELECT {', '.join(selected)} FROM {_text_reader(source, types)}"
    relation = _canonical(source, sql, _describe(connection, sql))
    return msgspec.structs.replace(relation, checked=tuple(patterns.items()))


def _describe_text(connection: duck.Session, source: Files) -> list[tuple[str, DuckDBPyType]]:
    try:
        return _describe(connection, f"SELECT * FROM {_text_reader(source, None)}")
    except duckdb.Error as error:
        if source.format == "csv":
            _find_ragged_line(connection, source)
        raise error


def _find_ragged_line(connection: duck.Session, source: Files) -> None:
    """DuckDB's sniffer does not say which line breaks the format; reading without it does."""
    for path in source.paths:
        columns = dict.fromkeys(_header(path), "VARCHAR")
        alone = msgspec.structs.replace(source, paths=(path,))
        duck.rows(connection, f"SELECT count(*) FROM {_text_reader(alone, columns, sniff=False)}")


def _text_reader(source: Files, types: Mapping[str, str] | None, *, sniff: bool = True) -> str:
    listed = "{" + ", ".join(f"{duck.text(c)}: {duck.text(t)}" for c, t in (types or {}).items()) + "}"
    if source.format == "json":
        known = f"columns = {listed}" if types else "sample_size = -1, maximum_depth = -1"
        return f"read_json({_paths(source)}, union_by_name = true, hive_partitioning = false, {known})"
    options = [
        "header = true",
        f"delim = {duck.text(_delimiter(source.paths[0]))}",
        """quote = '"', escape = '"', comment = '', skip = 0""",
        "hive_partitioning = false",
    ]
    if not sniff:
        options += ["auto_detect = false", f"columns = {listed}"]
    else:
        options += ["union_by_name = true", f"types = {listed}" if types else "sample_size = -1"]
    return f"read_csv({_paths(source)}, {', '.join(options)})"


def _exact_text(sniffed: str, wanted: str) -> str | None:
    """The pattern that text of type `wanted` has to match; None where DuckDB's own cast loses nothing."""
    if sniffed == wanted or (sniffed in _INTEGERS and wanted != "BOOLEAN"):
        return None
    if wanted in _INTEGERS:
        return _NUMBER + r"(\.0*)?\s*"
    if scale := _DECIMAL.fullmatch(wanted):
        return _NUMBER + rf"(\.[0-9]{{0,{scale[1]}}}0*)?\s*"
    if wanted == "DATE":
        return r"\s*[0-9]+-[0-9]+-[0-9]+([ T]00:00(:00(\.0*)?)?)?\s*"
    if wanted == "TIMESTAMP" and sniffed == "TIMESTAMP WITH TIME ZONE":
        return r"[^Z+]*"
    return None


def exactly(column: str, found: str, wanted: str) -> str:
    """SQL that casts a typed column, and fails where the cast would change a value.

    FLOAT is what it is: a double becomes the nearest one.
    """
    quoted = duck.name(column)
    if found == "VARCHAR" and (pattern := _exact_text(found, wanted)) is not None:
        return _guarded(column, wanted, pattern)
    if found == wanted or found == "VARCHAR" or wanted == "FLOAT":
        return f"CAST({quoted} AS {wanted}) AS {quoted}"
    back = f"CAST(CAST({quoted} AS {wanted}) AS {found})"
    return _unless_inexact(column, wanted, f"{back} IS NOT DISTINCT FROM {quoted}")


def _guarded(column: str, kind: str, pattern: str) -> str:
    quoted = duck.name(column)
    return _unless_inexact(column, kind, f"{quoted} IS NULL OR regexp_full_match({quoted}, {duck.text(pattern)})")


def _unless_inexact(column: str, kind: str, fits: str) -> str:
    quoted = duck.name(column)
    inexact = f"error(concat({duck.text(INEXACT + column + chr(10) + kind + chr(10))}, {quoted}::VARCHAR))"
    return f"CASE WHEN {fits} THEN CAST({quoted} AS {kind}) ELSE CAST({inexact} AS {kind}) END AS {quoted}"


INEXACT = "inexact text\n"


def explain(relation: Relation, error: BaseException) -> str:
    """The reason a relation could not be read through, with file, line, column and value where known."""
    found = re.search(re.escape(INEXACT) + r"(?P<column>.*)\n(?P<kind>.*)\n(?P<value>.*)", str(error))
    if found is None:
        return duck.explain(error)
    column, value = found["column"], found["value"]
    where = relation.source.label
    pattern = dict(relation.checked).get(column)
    if isinstance(relation.source, Files) and pattern is not None:
        where = next(_misfits(relation.source, column, re.compile(pattern)), where)
    return (
        f"{where}: column {column}: {value!r} is not {duck.article(found['kind'])} {found['kind']}\n"
        f'mend the value, or widen the column with `columns = {{ {column} = "VARCHAR" }}` in the dataset'
    )


def _misfits(source: Files, column: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """`file, line N` of each text of the column that does not match."""
    for path in source.paths:
        with _open_text(path) as file:
            if source.format == "csv":
                records = csv.DictReader(file, delimiter=_delimiter(path), strict=False)
                for record in records:
                    text = record.get(column)
                    if text and not pattern.fullmatch(text):
                        yield f"{path}, line {records.line_num}"
                continue
            for number, line in enumerate(file, 1):
                try:
                    raw = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get(column)
                except msgspec.DecodeError:
                    continue
                if raw is not None and bytes(raw) != b"null" and not pattern.fullmatch(bytes(raw).decode().strip('"')):
                    yield f"{path}, line {number}"


def _headers(source: Files) -> list[str]:
    seen: dict[str, None] = {}
    for path in source.paths:
        header = _header(path)
        twice = sorted({column for column in header if header.count(column) > 1})
        if twice:
            raise LoadError(f"{path}: column {twice[0]} stands twice in the header")
        seen.update(dict.fromkeys(header))
    return list(seen)


def _header(path: str) -> list[str]:
    try:
        with _open_text(path) as file:
            return next(csv.reader(file, delimiter=_delimiter(path)))
    except StopIteration:
        raise LoadError(f"{path} is empty; a CSV file starts with a header line") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as error:
        raise LoadError(f"{path} is not a CSV file in UTF-8: {error}") from None


def _delimiter(path: str) -> str:
    if path.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    try:
        with _open_text(path) as file:
            line = file.readline(_HEADER_BYTES_MAX)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile):
        return ","
    plain = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=plain.count)


def _open_text(path: str) -> TextIO:
    if path.lower().endswith(".gz"):
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return open(path, encoding="utf-8-sig", newline="")


def _describe(connection: duck.Session, sql: str) -> list[tuple[str, DuckDBPyType]]:
    relation = connection.sql(sql)
    return list(zip(relation.columns, relation.types, strict=True))


def _canonical(source: Source, sql: str, columns: Sequence[tuple[str, DuckDBPyType]]) -> Relation:
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


def _known(overrides: Mapping[str, str], columns: Sequence[str]) -> None:
    for column in overrides:
        if column not in columns:
            raise LoadError(
                f"`columns` names {column}, which the source does not have{schema.nearest(column, columns)}"
            )


def _type(connection: duck.Session, column: str, wanted: str) -> str:
    """A type's text as DuckDB prints it. Raises LoadError for what is no type."""
    try:
        return str(connection.sql(f"SELECT CAST(NULL AS {wanted}) AS t").types[0])
    except duckdb.Error:
        raise LoadError(f"`columns` gives {column} the type {wanted}, which DuckDB does not know") from None


def _paths(source: Files) -> str:
    return "[" + ", ".join(duck.path(path) for path in source.paths) + "]"


def _bool(value: bool) -> str:
    return "true" if value else "false"
