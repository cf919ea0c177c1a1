"""Random tables of every type in DuckDB, and their rows as a query answers them.

Stored rows come from the loader's own rendering; `typed` is the same with Python values
where a column's family has them.
"""

import datetime
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from engine.column import OutputColumn
from engine.forms.answer import Answer
from engine.forms.rendering import Renderings
from engine.sqltype import INTEGERS, family
from loader import render

TEXTS = (
    "",
    " ",
    "a",
    "a,b",
    'say "x"',
    "two\nlines",
    "cr\r\nlf",
    "\r",
    "naïve – ж – 🦆",
    "null",
    "NULL",
    "007",
    "'",
    "\\n",
)
_DATES = ("0001-01-01", "0999-12-31", "1969-12-31", "1970-01-01", "2000-02-29", "9999-12-31", "infinity")
_FAR_DATES = ("0044-03-15 (BC)", "0001-02-29 (BC)", "10000-01-01", "290000-12-31", "290000-12-31 (BC)")
_TIMES = ("00:00:00", "05:00:00.5", "23:59:59.999999", "12:00:00.000001", "12:00:00.120")
_DOUBLES = ("0.0", "-0.0", "1.5", "NaN", "infinity", "-infinity", "0.1", "-1e-300", "123456789.125", "0.25")
_FAR_DOUBLES = ("1e300", "-1.7976931348623157e308", "5e-324", "1e16")  # a stored one has a + in its exponent
TYPES = {name: OutputColumn(name, kind) for name, kind in (
    *((kind.lower(), kind) for kind in INTEGERS),
    ("narrow", "DECIMAL(4,2)"), ("tight", "DECIMAL(3,3)"), ("money", "DECIMAL(18,6)"), ("fine", "DECIMAL(18,12)"),
    ("wide", "DECIMAL(38,0)"), ("widest", "DECIMAL(38,30)"), ("double", "DOUBLE"), ("float", "FLOAT"),
    ("bool", "BOOLEAN"),
    ("text", "VARCHAR"), ("day", "DATE"), ("at", "TIMESTAMP"), ("zoned", "TIMESTAMP WITH TIME ZONE"), ("blob", "BLOB"),
    ("json", "JSON"), ("list", "VARCHAR[]"), ("struct", 'STRUCT("a b" DECIMAL(9,3), t VARCHAR)'),
    ("map", "MAP(INTEGER, TIMESTAMP)"),
)}  # fmt: skip
OPAQUE = ("json", "list", "struct", "map")
_PYTHON: dict[str, Any] = {
    "int": int, "decimal": Decimal, "double": float, "float": float, "bool": bool, "string": str,
    "date": datetime.date, "moment": datetime.datetime,
}  # fmt: skip


class Table:
    """`rows` random rows of every type, in `db` as table t, in order of column `n`."""

    def __init__(self, dice: random.Random, rows: int, *, far: bool = False) -> None:
        self._dice = dice
        self._dates = _DATES + (_FAR_DATES if far else ())
        self._doubles = _DOUBLES + (_FAR_DOUBLES if far else ())
        self.columns = tuple(TYPES.values())
        self.answer = Answer(self.columns)
        self.forms = Renderings(self.answer)
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone = 'UTC'")
        definitions = ", ".join(f'"{column.name}" {column.type}' for column in self.columns)
        self.db.execute(f"CREATE TABLE t (n INTEGER, {definitions})")
        for number in range(rows):
            values = ", ".join(f"({self._literal(column.type)})::{column.type}" for column in self.columns)
            self.db.execute(f"INSERT INTO t VALUES ({number}, {values})")
        relation = self.db.sql("SELECT * EXCLUDE (n) FROM t")
        row = render.row_json(list(zip(relation.columns, relation.types, strict=True)))
        found = [text for (text,) in self.db.execute(f"SELECT {row} FROM t ORDER BY n").fetchall()]
        self._stored = msgspec.json.decode(f"[{','.join(found)}]", type=list[dict[str, msgspec.Raw]])

    def stored(self) -> list[Any]:
        """The rows, every value as it is stored."""
        return [self.answer.row(*row.values()) for row in self._stored]

    def typed(self) -> list[Any]:
        """The rows, with Python values where there are such."""
        return [
            self.answer.row(*[self._value(row[column.name], column) for column in self.columns]) for row in self._stored
        ]

    def shown(self, column: OutputColumn) -> list[str]:
        """The JSON of a column's values."""
        return [bytes(row[column.name]).decode() for row in self._stored]

    def _value(self, raw: msgspec.Raw, column: OutputColumn) -> Any:
        kind = _PYTHON.get(family(column.type), msgspec.Raw)
        if kind is msgspec.Raw:
            return raw
        value = msgspec.json.decode(raw, type=kind | None)
        if value is None and kind is float:
            return self._dice.choice((None, float("nan"), float("inf"), float("-inf")))
        return value

    def _literal(self, kind: str) -> str:
        """SQL of a random value."""
        draw = self._dice
        if draw.random() < 0.15:
            return "NULL"
        if kind in INTEGERS:
            low, high = INTEGERS[kind] if kind != "HUGEINT" else (1 - 10**38, 10**38 - 1)
            return str(draw.choice((low, high, 0, max(low, -1), draw.randint(low, high))))
        if kind.startswith("DECIMAL"):
            width, scale = (int(part) for part in kind[8:-1].split(","))
            digits = f"{draw.choice((10**width - 1, 1, 0, draw.randrange(10**width))):0{scale}}"
            point = len(digits) - scale
            return f"'{draw.choice(('', '-'))}{digits[:point]}.{digits[point:]}'"
        if kind in ("DOUBLE", "FLOAT"):
            return f"'{draw.choice(self._doubles if kind == 'DOUBLE' else _DOUBLES[:6])}'"
        if kind == "BOOLEAN":
            return draw.choice(("true", "false"))
        return self._text_literal(kind)

    def _text_literal(self, kind: str) -> str:
        draw = self._dice
        text = draw.choice(TEXTS).replace("'", "''")
        date, time = draw.choice(self._dates), draw.choice(_TIMES)
        moment = date if date == "infinity" else f"{date} {time}"
        if kind == "DATE":
            return f"'{date}'"
        if kind.startswith("TIMESTAMP"):
            return f"'{moment}'"
        return {
            "VARCHAR": f"'{text}'",
            "BLOB": f"encode('{text}')",
            "JSON": draw.choice(("'{\"a\": [1, null, 1e400]}'", "'[ 1 ,\n 2]'", "'\"x\"'", "'null'", "'12.50'")),
            "VARCHAR[]": f"['{text}', NULL, 'b']",
            TYPES["struct"].type: f"{{'a b': 1.5, 't': '{text}'}}",
            TYPES["map"].type: "MAP {1: TIMESTAMP '2013-01-01 00:00:00', 2: NULL}",
        }[kind]

    def finite(self) -> str:
        """A SELECT of the table with NULL where an answer has null."""
        floats = ("double", "float", "day", "at", "zoned")
        shown = [
            f'CASE WHEN isfinite("{c.name}") THEN "{c.name}" END AS "{c.name}"' if c.name in floats else f'"{c.name}"'
            for c in self.columns
        ]
        return f"SELECT {', '.join(shown)} FROM t ORDER BY n"


def body(forms: Renderings, media: str, lists: Sequence[list[Any]], **end: Any) -> bytes:
    """A whole body; `end`: cursor, meta."""
    rendering = forms.begin(media, meta=end.get("meta", False))
    return b"".join([rendering.start(), *map(rendering.rows, lists), rendering.end(end.get("cursor"))])


def split(rows: list[Any], cuts: Sequence[int]) -> list[list[Any]]:
    """The rows in lists, some of them empty."""
    ends = sorted(min(cut, len(rows)) for cut in cuts)
    return [rows[start:end] for start, end in zip([0, *ends], [*ends, len(rows)], strict=True)]


def answer_of(*columns: tuple[str, str]) -> tuple[Answer, Renderings]:
    answer = Answer([OutputColumn(*column) for column in columns])
    return answer, Renderings(answer)


def written(directory: Path, content: bytes) -> str:
    path = directory / "answer.csv"
    path.write_bytes(content)
    return str(path)
