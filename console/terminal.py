"""Where facts are printed: tables and colour for people, JSON for machines.

Rule: facts go to stdout, everything said about them to stderr. Colour only on a terminal;
rich is imported when a table is printed, not before.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import msgspec

from havok.errors import ConfigError, HavokError

Cell = str | int | None
WIDTH_UNLIMITED = 1000  # of a table that goes to a file: nothing is cut or wrapped
_STYLES = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def say(text: str = "") -> None:
    print(text, flush=True)


def note(text: str) -> None:
    """Something beside the facts, to stderr."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    note(f"{paint('warning:', 'yellow', sys.stderr)} {text}")


def print_json(document: object) -> None:
    """One line; a msgspec struct or plain data."""
    say(msgspec.json.encode(document).decode())


def refuse(error: HavokError) -> None:
    """Why a command failed, on stderr: each fault of a configuration on a line of its own."""
    if isinstance(error, ConfigError):
        for fault in error.faults:
            note(f"{paint('error:', 'red', sys.stderr)} {fault}")
    else:
        note(f"{paint('error:', 'red', sys.stderr)} {error.detail}")


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Coloured when the stream (stdout by default) is a terminal."""
    if not text or not is_terminal(stream or sys.stdout):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Sequence[str] = ()) -> None:
    """Cells may be painted; columns named in `numbers` stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = is_terminal(sys.stdout)
    console = Console(width=None if terminal else WIDTH_UNLIMITED, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text.from_ansi("" if cell is None else str(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def size(count: float) -> str:
    """Bytes as a person reads them: 3.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plural(count: int, noun: str) -> str:
    """1 row, 2 rows, 1,000 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def pretty(raw: bytes) -> str:
    """A JSON answer indented, its numbers digit for digit; coloured on a terminal."""
    text = msgspec.json.format(raw, indent=2).decode()
    if not is_terminal(sys.stdout):
        return text
    from rich.console import Console
    from rich.highlighter import JSONHighlighter

    console = Console()
    with console.capture() as captured:
        console.print(JSONHighlighter()(text), soft_wrap=True)
    return captured.get().rstrip("\n")


def plain(value: Any) -> str:
    """A value of a status document on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
