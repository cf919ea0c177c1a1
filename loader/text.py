"""CSV and JSON lines: what their text is read as, and where in it something does not fit.

Rule: text is read as text and cast by `loader.exact`, so that a value is either kept or named
with its file, line and column. A column's type is, in this order, that of `columns`, the
live version's, or one sniffed over the whole file; a sniffed type is taken only if all the
column's text is written as values of it are (a zip code of 02134 stays text). Lists, structs
and maps of JSON are read as they come.
"""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO
from typing import cast as typed

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from loader import duck, exact, schema
from loader.relation import Relation, canonical, describe, resolve_type
from loader.source import Files

_DELIMITERS = (",", ";", "|", "\t")
_HEADER_BYTES_MAX = 1 << 20  # a header line longer than this is no CSV
_NESTED = ("list", "array", "struct", "map")
_NUMBERS = ("boolean", "tinyint", "smallint", "integer", "bigint", "utinyint", "usmallint", "uinteger", "ubigint",
            "hugeint", "float", "double", "varchar")  # fmt: skip


def read(connection: duck.Session, source: Files, overrides: Mapping[str, str], live: Mapping[str, str]) -> Relation:
    """Raises LoadError for what cannot be read as a table, duckdb.Error for a reader's own reason."""
    header = _headers(source) if source.format == "csv" else []
    sniffed = dict(_describe(connection, source))
    if not sniffed:
        raise LoadError(f"source {source.label} has no columns")
    if header and set(header) - set(sniffed):  # DuckDB renames a column that stands twice
        raise LoadError(
            f"source {source.label}: the header reads {', '.join(header)[:200]}; every name must be its own"
        )
    check_known(overrides, list(sniffed))
    own = [column for column in sniffed if column not in partition_columns(source)]
    wanted = {
        column: resolve_type(connection, column, overrides.get(column) or live[column])
        for column in own
        if column in overrides or (column in live and not _is_nested(sniffed[column]))
    }
    unknown = {column: sniffed[column] for column in own if column not in wanted and not _is_nested(sniffed[column])}
    wanted |= _fitting(connection, source, own, unknown)
    return _relation(connection, source, sniffed, own, wanted)


def _relation(
    connection: duck.Session,
    source: Files,
    sniffed: Mapping[str, DuckDBPyType],
    own: Sequence[str],
    wanted: Mapping[str, str],
) -> Relation:
    """Text columns of `wanted` types; nested ones of JSON as sniffed, exactly cast where they are wanted otherwise."""
    types = dict.fromkeys(own, "VARCHAR")
    selected, checked = [], []
    for column, kind in sniffed.items():
        if column not in own:
            selected.append(duck.name(column))
            continue
        target = wanted.get(column)
        if _is_nested(kind) and target != "VARCHAR":
            types[column] = _as_text(kind)
            selected.append(duck.name(column) if target is None else exact.cast(column, types[column], target))
        elif target is None or target in ("VARCHAR", "JSON"):
            selected.append(
                duck.name(column) if target != "JSON" else f"{duck.name(column)}::JSON AS {duck.name(column)}"
            )
        elif target.endswith("]") or target.startswith(("STRUCT(", "MAP(")):
            selected.append(exact.nested(column, target))
        else:
            must_match = exact.pattern(target) or ".*"
            selected.append(exact.guarded(column, target, must_match, empty_is_null=source.format == "csv"))
            checked.append((column, must_match))
    sql = f"SELECT {', '.join(selected)} FROM {_reader(source, types)}"
    relation = canonical(source, sql, describe(connection, sql))
    return msgspec.structs.replace(relation, checked=tuple(checked))


def _fitting(
    connection: duck.Session, source: Files, own: Sequence[str], sniffed: Mapping[str, DuckDBPyType]
) -> dict[str, str]:
    """For columns of which only the sniffer's word is known: its type, where all text is written as that type is."""
    questions = []
    for column, kind in sniffed.items():
        plain = exact.PLAIN.get(str(kind))
        if plain is not None:
            questions += [(column, str(kind), plain)]
        if kind.id in ("double", "hugeint", "uhugeint", "bignum"):
            questions += [(column, "DECIMAL(38,0)", exact.WIDE_INTEGER)]
    fits: dict[str, str] = {}
    if questions:
        counts = ", ".join(
            f"count(*) FILTER (WHERE {text} <> '' AND NOT regexp_full_match({text}, {duck.text(plain)}))"
            for column, _, plain in questions
            for text in (duck.name(column),)
        )
        types = dict.fromkeys(own, "VARCHAR")
        found = connection.execute(f"SELECT {counts} FROM {_reader(source, types)}").fetchone() or ()
        for (column, type_text, _), misfits in zip(questions, found, strict=True):
            if not misfits and fits.get(column) in (None, "HUGEINT"):
                fits[column] = type_text
    return {column: fits.get(column, "JSON" if schema.is_json(kind) else "VARCHAR") for column, kind in sniffed.items()}


def _is_nested(kind: DuckDBPyType) -> bool:
    return kind.id in _NESTED


def _as_text(kind: DuckDBPyType) -> str:
    """A nested type with text for what the sniffer took for dates, times or UUIDs: JSON has none of them."""
    if kind.id in ("list", "array"):
        return _as_text(schema.element(kind)) + "[]"
    if kind.id == "struct":
        return f"STRUCT({', '.join(f'{duck.name(field)} {_as_text(child)}' for field, child in schema.fields(kind))})"
    if kind.id == "map":
        key, value = schema.key_and_value(kind)
        return f"MAP({_as_text(key)}, {_as_text(value)})"
    return str(kind) if kind.id in _NUMBERS else "VARCHAR"


def _describe(connection: duck.Session, source: Files) -> list[tuple[str, DuckDBPyType]]:
    try:
        return describe(connection, f"SELECT * FROM {_reader(source, None)}")
    except duckdb.Error as error:
        if source.format == "csv":
            _find_ragged_line(connection, source)
        raise error


def _find_ragged_line(connection: duck.Session, source: Files) -> None:
    """DuckDB's sniffer does not say which line breaks the format; reading without it does."""
    for path in source.paths:
        columns = dict.fromkeys(_header(path), "VARCHAR")
        alone = msgspec.structs.replace(source, paths=(path,))
        duck.rows(connection, f"SELECT count(*) FROM {_reader(alone, columns, sniff=False)}")


def _reader(source: Files, types: Mapping[str, str] | None, *, sniff: bool = True) -> str:
    listed = "{" + ", ".join(f"{duck.text(c)}: {duck.text(t)}" for c, t in (types or {}).items()) + "}"
    hive = f"hive_partitioning = {str(source.partitioned).lower()}"
    if source.format == "json":
        known = f"columns = {listed}" if types else "sample_size = -1, maximum_depth = -1"
        return f"read_json({paths(source)}, union_by_name = true, {hive}, {known})"
    options = [
        "header = true",
        f"delim = {duck.text(_delimiter(source.paths[0]))}",
        """quote = '"', escape = '"', comment = '', skip = 0""",
        hive,
    ]
    if types:
        options.append("allow_quoted_nulls = false")  # "" is a text of no letters
    if not sniff:
        options += ["auto_detect = false", f"columns = {listed}"]
    else:
        options += ["union_by_name = true", f"types = {listed}" if types else "sample_size = -1"]
    return f"read_csv({paths(source)}, {', '.join(options)})"


def json_names(connection: duck.Session, source: Files) -> list[str]:
    """Every name that an object of the source has, as it is written."""
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({paths(source)})"
    return sorted(str(name) for (name,) in connection.execute(keys).fetchall())


def partition_columns(source: Files) -> set[str]:
    """The columns that stand in the directories' names."""
    if not source.partitioned:
        return set()
    return {part.partition("=")[0] for path in source.paths for part in Path(path).parts[:-1] if "=" in part}


def place_of(source: Files, column: str, value: str, must_match: re.Pattern[str]) -> str | None:
    """`file, line N` of the value that did not fit, or of another; None where Python cannot find it."""
    elsewhere = None
    try:
        for path in source.paths:
            for number, text in _texts(source, path, column):
                if text == value:
                    return f"{path}, line {number}"
                if elsewhere is None and not must_match.fullmatch(text):
                    elsewhere = f"{path}, line {number}"
    except (csv.Error, UnicodeDecodeError, OSError):
        return elsewhere
    return elsewhere


def _texts(source: Files, path: str, column: str) -> Iterator[tuple[int, str]]:
    """(line, text) of a column wherever it says something."""
    with _open(path) as file:
        if source.format == "csv":
            records = csv.DictReader(file, delimiter=_delimiter(path), strict=False)
            for record in records:
                if text := record.get(column):
                    yield records.line_num, text
            return
        for number, line in enumerate(file, 1):
            try:
                raw = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get(column)
            except msgspec.DecodeError:
                continue
            if raw is not None and raw != b"null":
                yield number, bytes(raw).decode().strip('"')


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
        with _open(path) as file:
            return next(csv.reader(file, delimiter=_delimiter(path)))
    except StopIteration:
        raise LoadError(f"{path} is empty; a CSV file starts with a header line") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, csv.Error) as error:
        raise LoadError(f"{path} is not a CSV file in UTF-8: {error}") from None


def _delimiter(path: str) -> str:
    if path.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    try:
        with _open(path) as file:
            line = file.readline(_HEADER_BYTES_MAX)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile):
        return ","
    plain = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=plain.count)


def _open(path: str) -> TextIO:
    if path.lower().endswith(".gz"):
        return typed(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return open(path, encoding="utf-8-sig", newline="")


def check_known(overrides: Mapping[str, str], columns: Sequence[str]) -> None:
    for column in overrides:
        if column not in columns:
            raise LoadError(
                f"`columns` names {column}, which the source does not have{schema.nearest(column, columns)}"
            )


def paths(source: Files) -> str:
    return "[" + ", ".join(duck.path(path) for path in source.paths) + "]"
