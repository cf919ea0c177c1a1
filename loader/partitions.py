"""Columns that stand in the names of directories: `year=2013/code=x/file.csv`.

Rule: only directories below the source count. Their values are text, decoded as Hive encodes
them, and typed like a column of text of which all values are known beforehand.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from havok.errors import LoadError
from loader import duck, exact
from loader.source import Files

_NULL = "__HIVE_DEFAULT_PARTITION__"
FILE = "havok file"  # a name that no column has


def values(source: Files) -> dict[str, set[str | None]]:
    """Column → the values that its directories name."""
    found: dict[str, set[str | None]] = {}
    for path in source.paths if source.partitioned else ():
        for part in path.removeprefix(source.root).split("/")[:-1]:
            name, equals, text = part.partition("=")
            if equals and name:
                found.setdefault(name, set()).add(None if text == _NULL else unquote(text))
    return found


def types(source: Files) -> dict[str, str]:
    """Column → the type that all its values are written as: a number, a date, else text."""
    return {name: _type({text for text in texts if text is not None}) for name, texts in values(source).items()}


def _type(texts: set[str]) -> str:
    for kind in ("BIGINT", "DATE"):
        if texts and all(re.fullmatch(exact.PLAIN[kind], text) and len(text) < 19 for text in texts):
            return kind
    return "VARCHAR"


def check_names(source: Files, own: Sequence[str]) -> None:
    """Raises LoadError when files have a column of a directory's name too: which is meant is not ours to say."""
    folded = {name.casefold() for name in own}
    for name in values(source):
        if name.casefold() in folded:
            raise LoadError(f"source {source.label}: {name} is a column of the files and a name of their directories")


def option(source: Files) -> str:
    """The reader's option that makes a file known to `joined`."""
    return f", filename = {duck.text(FILE)}" if values(source) else ""


def joined(source: Files, reader: str) -> str:
    """A relation: the reader's columns and, as text, the directories'."""
    names = list(values(source))
    if not names:
        return reader
    columns = [
        f"nullif(url_decode(regexp_extract({duck.name(FILE)}, {duck.text(f'.*/{re.escape(name)}=([^/]*)/')}, 1)), "
        f"{duck.text(_NULL)}) AS {duck.name(name)}"
        for name in names
    ]
    return f"(SELECT * EXCLUDE ({duck.name(FILE)}), {', '.join(columns)} FROM {reader})"
