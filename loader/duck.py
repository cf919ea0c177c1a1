"""The DuckDB session a build works in, and its errors in one or two lines.

Rule: every statement of the loader runs in a session opened here: bounded memory,
spilling into a directory the caller removes, UTC, no extension fetched from anywhere.
Identifiers, literals and files to read reach SQL only through `name`, `text` and `path`.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from havok.errors import LoadError
from havok.relations import LOADER_MEMORY_MB_MIN
from havok.settings import LoaderSettings

Session = duckdb.DuckDBPyConnection

MEMORY_MB_PER_THREAD = LOADER_MEMORY_MB_MIN  # each sorting thread holds its own blocks
STREAM_BUFFER_SHARE = 8  # of the memory: finished result rows that wait for the LMDB writer
STREAM_BUFFER_MB_MAX = 64

_NOISE = re.compile(r"^(?:[A-Z][A-Za-z ]*Error: )+")
_CSV = re.compile(r"CSV Error on Line: (?P<line>\d+)\s*\n(?:Original Line: ?(?P<row>.*)\n)?(?P<what>.+)", re.MULTILINE)
_CSV_CAST = re.compile(r'column "(?P<column>.*)"\. Could not convert string "(?P<value>.*)" to \'?(?P<type>[^\']+)')
_CSV_RAGGED = re.compile(r"^Expected Number of Columns: (?P<header>\d+) Found: (?P<found>\d+)", re.MULTILINE)
_CSV_LINE = re.compile(r"^Original Line: ?\s*(?P<row>\S.*)$", re.MULTILINE)  # behind a CRLF it begins below
_CSV_FILE = re.compile(r"^\s*file = (?P<file>.+)$", re.MULTILINE)
_JSON_FILE = re.compile(r'(?P<what>JSON transform error|Malformed JSON) in file "(?P<file>[^"]+)", (?P<rest>[^\n]*)')


def name(identifier: str) -> str:
    """An identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def text(literal: str) -> str:
    """A string literal, quoted. A NUL cannot stand in SQL text and is refused."""
    if "\x00" in literal:
        raise LoadError(f"{literal!r} holds a NUL character, which SQL text cannot carry")
    return "'" + literal.replace("'", "''") + "'"


def path(file: str | Path) -> str:
    """One file's path as a literal: what DuckDB would read as a pattern stands for itself."""
    return text(glob.escape(str(file)))


def names(identifiers: Sequence[str]) -> str:
    return ", ".join(name(identifier) for identifier in identifiers)


@contextmanager
def session(settings: LoaderSettings, spill_dir: Path, search_dir: Path | None = None) -> Iterator[Session]:
    """A session that spills into `spill_dir`; relative paths in SQL start at `search_dir`.

    The process grows to 100 to 250 MB over `memory_mb`: what DuckDB itself, its results and LMDB's dirty
    pages take.
    """
    memory_mb = settings.memory_mb
    if memory_mb < MEMORY_MB_PER_THREAD:
        raise LoadError(f"loader.memory_mb = {memory_mb} is too little to sort in; give {MEMORY_MB_PER_THREAD} or more")
    threads = settings.threads or _cores()
    buffer_mb = max(4, min(STREAM_BUFFER_MB_MAX, memory_mb // STREAM_BUFFER_SHARE))
    options: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MiB",
        "threads": max(1, min(threads, memory_mb // MEMORY_MB_PER_THREAD)),
        "temp_directory": str(spill_dir),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a name in SQL is never a Python variable
    }
    connection = duckdb.connect(":memory:", config=options)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"SET streaming_buffer_size = '{buffer_mb}MiB'")
        if search_dir is not None:
            connection.execute(f"SET file_search_path = {text(str(search_dir))}")
        yield connection
    finally:
        connection.close()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def rows(connection: Session, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a small result. Raises LoadError with DuckDB's reason in short."""
    try:
        return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise LoadError(explain(error)) from None


def one(connection: Session, sql: str) -> tuple[Any, ...]:
    """The only row of an aggregate."""
    return rows(connection, sql)[0]


def explain(error: BaseException) -> str:
    """DuckDB's report, often twenty lines, in one or two for a person."""
    report = str(error)
    if found := _CSV.search(report):
        return _explain_csv(report, found)
    if found := _JSON_FILE.search(report):
        rest = found["rest"].strip().rstrip(".")
        return f"{found['file']}: {found['what'].lower()} {rest}; mend the line, or widen the column under `columns`"
    if isinstance(error, duckdb.OutOfMemoryException):
        line = _NOISE.sub("", _first_line(report))
        if re.search(r"temp|disk|No space", line, re.IGNORECASE) and "max_temp" in report:
            return f"the disk has no room to sort in: {line}"
        return f"out of memory: {line}; raise loader.memory_mb"
    line = _NOISE.sub("", _first_line(report))
    hint = re.search(r"^Candidate bindings:.*$", report, re.MULTILINE)
    return f"{line} ({hint[0]})" if hint else line


def _explain_csv(report: str, found: re.Match[str]) -> str:
    file = _CSV_FILE.search(report)
    where = f"{file['file'] if file else 'CSV'}, line {found['line']}"
    if cast := _CSV_CAST.search(found["what"]):
        kind = cast["type"].strip()
        return (
            f"{where}: column {cast['column']}: {cast['value']!r} is not {article(kind)} {kind}\n"
            f'mend the value, or widen the column with `columns = {{ {cast["column"]} = "VARCHAR" }}` in the dataset'
        )
    if ragged := _CSV_RAGGED.search(report):
        header, count = int(ragged["header"]), int(ragged["found"])
        values = "1 value" if count == 1 else f"{count} values"
        said = (
            f"more values than the {header} of the header" if count > header else f"{values}, the header has {header}"
        )
        line = _CSV_LINE.search(report)
        return f"{where}: {said}" + (f" (the line reads: {line['row'].strip()[:80]})" if line else "")
    row = (found["row"] or "").strip()
    return f"{where}: {found['what'].strip()}" + (f" (the line reads: {row[:80]})" if row else "")


def article(noun: str) -> str:
    """`a` or `an`, as the word sounds."""
    return "an" if noun[:1].upper() in "AEIOU" else "a"


def _first_line(report: str) -> str:
    return next((line.strip() for line in report.splitlines() if line.strip()), "unknown error")
