"""CSV and JSON lines: what their text is read as, and where in it something does not fit.

Rule: text is read as text and cast by `loader.exact`, so that a value is either kept or named
with its file, line and column. A column's type is, in this order, that of `columns`, the
live version's, or one sniffed over the whole file; a sniffed type is taken only if all the
column's text is written as values of it are (a zip code of 02134 stays text). Lists and objects
of JSON stay the JSON they are, unless a type for them is known.
"""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO
from typing import cast as typed

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

from havok.errors import LoadError
from loader import duck, exact, partitions, schema
from loader.relation import Relation, canonical, describe, resolve_type
from loader.source import Files

_DELIMITERS = (",", ";", "|", "\t")
_HEADER_BYTES_MAX = 1 << 20  # a header line longer than this is no CSV
_NESTED = ("list", "array", "struct", "map")
_DECIMALS = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_DIGITS_KEPT = 15  # of a fraction in a column read as JSON
_TEXTS = ("date", "time", "timestamp", "timestamp with time zone", "uuid", "interval", "blob")  # strings in JSON


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
    partitions.check_names(source, list(sniffed))
    directories = partitions.types(source)
    check_known(overrides, [*sniffed, *directories])
    known = {**live, **overrides}
    wanted = {
        column: resolve_type(connection, column, known[column])
        for column in (*sniffed, *directories)
        if column in overrides or (column in live and _holds(live[column], sniffed.get(column)))
    }
    unknown = {column: kind for column, kind in sniffed.items() if column not in wanted}
    wanted = {**directories, **_fitting(connection, source, list(sniffed), unknown), **wanted}
    return _relation(connection, source, [*sniffed, *directories], list(sniffed), wanted)


def _holds(live: str, sniffed: DuckDBPyType | None) -> bool:
    """Whether the live version's type has a place for all that was found: a struct may have grown."""
    if sniffed is None or not _is_nested(sniffed) or live in ("VARCHAR", "JSON"):
        return True
    try:
        return _covers(DuckDBPyType(live), sniffed)
    except duckdb.Error:  # a live type of another version's making
        return False


def _covers(wide: DuckDBPyType, narrow: DuckDBPyType) -> bool:
    if not _is_nested(narrow):
        return not _is_nested(wide)
    if wide.id != narrow.id and not (wide.id == "map" and narrow.id == "struct"):
        return False
    if narrow.id == "struct" and wide.id == "map":
        return all(_covers(schema.key_and_value(wide)[1], child) for _, child in schema.fields(narrow))
    if narrow.id == "struct":
        inside = dict(schema.fields(wide))
        return all(label in inside and _covers(inside[label], child) for label, child in schema.fields(narrow))
    pairs = zip(schema.fields(wide), schema.fields(narrow), strict=True)
    return all(_covers(one, other) for (_, one), (_, other) in pairs)


def _relation(
    connection: duck.Session, source: Files, columns: Sequence[str], own: Sequence[str], wanted: Mapping[str, str]
) -> Relation:
    """Columns of text, and of JSON where JSON is wanted or is what is nested there, cast to the wanted types."""
    types = dict.fromkeys(own, "VARCHAR")
    selected, checked = [], []
    is_json = source.format == "json"
    for column in columns:
        target = wanted[column]
        nested = target.endswith("]") or target.startswith(("STRUCT(", "MAP("))
        if is_json and column in types and (nested or target == "JSON"):
            direct = target == "JSON" or _has_long_decimals(target)
            types[column] = target if direct else "JSON"
            selected.append(duck.name(column) if direct else exact.nested_json(column, target))
        elif nested:
            selected.append(exact.nested_text(column, target))
        elif target == "JSON":
            selected.append(f"{duck.name(column)}::JSON AS {duck.name(column)}")
        elif target == "VARCHAR":
            selected.append(duck.name(column))
        else:
            must_match = exact.pattern(target) or "(?s).*"
            selected.append(exact.guarded(column, target, must_match, empty_is_null=not is_json))
            checked.append((column, must_match))
    sql = f"SELECT {', '.join(selected)} FROM {partitions.joined(source, _reader(source, types))}"
    relation = canonical(source, sql, describe(connection, sql))
    return msgspec.structs.replace(relation, checked=tuple(checked))


def _has_long_decimals(kind: str) -> bool:
    """Whether it holds fractions of more digits than JSON keeps: those are read as they are, rounded to their scale."""
    return any(int(scale) and int(width) > _DIGITS_KEPT for width, scale in _DECIMALS.findall(kind))


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
    return {column: fits.get(column) or _as_it_is(source, kind) for column, kind in sniffed.items()}


def _as_it_is(source: Files, kind: DuckDBPyType) -> str:
    """The type that keeps what no other does: JSON for what is no text in JSON, else text."""
    is_text = kind.id == "varchar" and not schema.is_json(kind)
    return "JSON" if source.format == "json" and not is_text and kind.id not in _TEXTS else "VARCHAR"


def _is_nested(kind: DuckDBPyType) -> bool:
    return kind.id in _NESTED


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
    hive = "hive_partitioning = false" + (partitions.option(source) if types and sniff else "")
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
