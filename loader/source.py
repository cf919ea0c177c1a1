"""What a source string means: files of one format, or a SELECT.

Rule: the text decides alone. What begins with SELECT, WITH or FROM is a query, unless a
file of that name exists; anything else is a file, a directory or a glob, relative to the
config file's directory. All files of a source have one format. Nothing is opened here.
"""

import glob
import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from havok.errors import LoadError

Format = Literal["csv", "json", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".csv.gz": "csv",
    ".tsv.gz": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json.gz": "json",
    ".jsonl.gz": "json",
    ".ndjson.gz": "json",
    ".parquet": "parquet",
}

_QUERY = re.compile(r"\s*(?:--[^\n]*\n\s*)*\(*\s*(?:SELECT|WITH|FROM)\b", re.IGNORECASE)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[]")


class Files(msgspec.Struct, frozen=True):
    """Files in a stable order; `partitioned`: directories below `root` are `column=value`."""

    label: str
    format: Format
    paths: tuple[str, ...]
    partitioned: bool = False
    root: str = ""


class Query(msgspec.Struct, frozen=True):
    label: str
    sql: str


Source = Files | Query


def locate(source: str, base_dir: Path) -> Source:
    """Raises LoadError, in one sentence, for what is missing, empty, mixed or of no known format."""
    path = Path(source) if "\n" not in source and "\x00" not in source else None
    if _QUERY.match(source) and not (path and _exists(base_dir / path)):
        return Query(label=" ".join(source.split())[:200], sql=source.strip().rstrip(";").rstrip())
    if path is None or not source.strip():
        raise LoadError("the source is neither a file nor a SELECT")
    if _REMOTE.match(source):
        raise LoadError(f"source {source}: only local files are read; copy it here first")
    found = base_dir / path
    if _exists(found) and found.is_dir():
        return _files(source, _below(found), found, f"directory {source} holds no {_formats()} file")
    if _exists(found):
        return _files(source, [found], found.parent, "")
    if _GLOB.search(source):
        matches = [Path(match) for match in glob.glob(str(found), recursive=True)]
        root = Path(*_before_glob(found))
        files = [match for match in matches if match.is_file() and not _hidden(match.relative_to(root))]
        return _files(source, files, root, f"no file matches {source} (looked from {base_dir})")
    looked = "" if str(found) == source else f" (looked for {found})"
    raise LoadError(f"source {source} does not exist{looked}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, or a parent that is a file
        return False


def _below(directory: Path) -> list[Path]:
    """Files of a known format under a directory; what starts with . or _ is a job's bookkeeping."""
    return [
        path
        for path in directory.rglob("*")
        if _suffix(path) in SUFFIXES and path.is_file() and not _hidden(path.relative_to(directory))
    ]


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _before_glob(path: Path) -> tuple[str, ...]:
    parts = path.parts
    return next((parts[:at] for at, part in enumerate(parts) if _GLOB.search(part)), parts)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _files(label: str, paths: list[Path], root: Path, when_empty: str) -> Files:
    if not paths:
        raise LoadError(when_empty)
    ordered = sorted(paths)
    by_format: dict[Format, Path] = {}
    for path in ordered:
        suffix = _suffix(path)
        if suffix not in SUFFIXES:
            raise LoadError(f"{path.name}: no reader for {suffix or 'a file without suffix'}; Havok reads {_formats()}")
        if not os.access(path, os.R_OK):
            raise LoadError(f"{path} is not readable by this user")
        by_format.setdefault(SUFFIXES[suffix], path)
    if len(by_format) > 1:
        shown = " and ".join(path.name for path in by_format.values())
        raise LoadError(f"source {label} mixes formats ({shown}); a dataset has one: narrow the glob")
    partitioned = any("=" in part for path in ordered for part in path.relative_to(root).parts[:-1])
    paths_found = tuple(map(str, ordered))
    return Files(label, next(iter(by_format)), paths_found, partitioned, str(root))


def _formats() -> str:
    return "CSV (.csv, .tsv), JSON lines (.jsonl, .ndjson, .json) and Parquet (.parquet), text also as .gz"
