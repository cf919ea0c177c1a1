"""Random tables: schemas, keys, indexes and rows, each table as the SELECT that makes it.

Rule: a column takes its values from a pool of a few, so that keys collide, index columns
repeat, ranges end inside and joins miss. Values are SQL text, NULL among them; the first of a
list is the plainest. Odd ones (limits of a type, long text that is hashed in a key) are rare,
for most expressions over them are errors.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tests.engine.draws import Draws

TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"
_DAYS = ("2013-01-01", "2013-01-02", "2013-01-31", "2012-02-29", "1969-12-31", "2000-12-31")
_MOMENTS = ("2013-01-01 00:00:00", "2013-01-01 05:00:00", "2013-01-02 00:00:00", "1969-12-31 23:59:59.999999",
            "2013-06-30 12:34:56.5")  # fmt: skip
_SMALL = ("0", "1", "2", "3", "5")
_SIGNED = (*_SMALL, "-1", "-2")
# Type → (plain values, odd ones), as SQL text.
POOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "VARCHAR": (
        ("'a'", "'b'", "'c'", "''", "'aa'", "'z%'", "'A'", "'ab'", "'a_b'", "'1'", "'é'", "' x '"),
        ("'\1'", "'a\2'", "'🙂'", "'\"'", f"'{'x' * 600}'", f"'{'x' * 600}y'", f"'{'x' * 470}'", f"'{'x' * 480}'",
         f"'a{'y' * 500}'"),
    ),
    "INTEGER": (_SIGNED, ("2147483647", "-2147483648", "1000000")),
    "BIGINT": (_SIGNED, ("9223372036854775807", "-9223372036854775807", "1000000000000")),
    "TINYINT": (_SIGNED, ("127", "-128")),
    "SMALLINT": (_SIGNED, ("32767", "-32768", "300")),
    "UTINYINT": (_SMALL, ("255", "128")),
    "UINTEGER": (_SMALL, ("4294967295",)),
    "UBIGINT": (_SMALL, ("18446744073709551615", "9223372036854775808")),
    "DECIMAL(38,0)": (_SIGNED, ("12345678901234567890123456789012345678", "-99999999999999999999", "1000000")),
    "BOOLEAN": (("false", "true"), ("true",)),
    "DATE": (tuple(f"DATE '{day}'" for day in _DAYS), ("DATE '0001-01-01'", "DATE '9999-12-31'")),
    "TIMESTAMP": (
        tuple(f"TIMESTAMP '{moment}'" for moment in _MOMENTS),
        ("TIMESTAMP '0001-01-01 00:00:00'", "TIMESTAMP '9999-12-31 23:59:59.999999'"),
    ),
    TIMESTAMPTZ: (
        tuple(f"TIMESTAMPTZ '{moment}+00'" for moment in _MOMENTS), ("TIMESTAMPTZ '2013-01-01 00:30:00+05'",)
    ),
    "DOUBLE": (("0.0", "1.5", "-2.25", "0.1", "2.675", "3.0"), ("-0.0", "1e6", "-123456.789", "1e-7")),
    "FLOAT": (("0.0", "1.5", "-2.25", "0.1"), ("16777216.0",)),
    "DECIMAL(10,2)": (("0.00", "1.50", "-2.25", "3.00", "12.34"), ("99999999.99", "-0.01")),
    "DECIMAL(30,6)": (("0", "1.5", "-2.250001", "0.000001"), ("123456789012345678901234.123456",)),
    "DECIMAL(2,2)": (("0.00", "0.50", "-0.25", "0.99"), ("-0.99",)),
    "INTEGER[]": (("[1, 2]", "[]", "[NULL]"), ("[1, NULL, 3]",)),
    "BLOB": (("'ab'::BLOB", "''::BLOB"), ("'\\x00\\xFF'::BLOB",)),
    "JSON": (("'{\"a\": 1}'", "'[1,  2]'"), ("'\"x\"'",)),
}  # fmt: skip
KEYED = ("VARCHAR", "INTEGER", "BIGINT", "DATE", "BOOLEAN", "TIMESTAMP", "SMALLINT", "TINYINT", "UTINYINT", "UINTEGER",
         "UBIGINT", "DECIMAL(38,0)", TIMESTAMPTZ)  # fmt: skip
_OTHERS = ("INTEGER", "VARCHAR", "DOUBLE", "DECIMAL(10,2)", "BOOLEAN", "DATE", "TIMESTAMP", "SMALLINT", "BIGINT",
           "DECIMAL(30,6)", "FLOAT", "UBIGINT", "UTINYINT", "DECIMAL(2,2)", TIMESTAMPTZ, "TINYINT", "DECIMAL(38,0)",
           "INTEGER[]", "BLOB", "JSON")  # fmt: skip
FAMILIES = {"VARCHAR": "text", "BOOLEAN": "bool", "DATE": "date", "TIMESTAMP": "moment", TIMESTAMPTZ: "zoned",
            "FLOAT": "float", "INTEGER[]": "opaque", "BLOB": "opaque", "JSON": "opaque"}  # fmt: skip

Row = tuple[str, ...]


def family(kind: str) -> str:
    return FAMILIES.get(kind, "number")


class Table(msgspec.Struct, frozen=True):
    """`columns`: name → type, the key's first ones in the table not necessarily; `pools`: name → values, SQL text."""

    name: str
    columns: Mapping[str, str]
    pools: Mapping[str, Sequence[str]]
    key: tuple[str, ...]
    indexes: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]

    @property
    def select(self) -> str:
        typed = ", ".join(f"{name}::{kind} AS {name}" for name, kind in self.columns.items())
        none = ", ".join("NULL" for _ in self.columns)
        rows = ",\n    ".join(f"({', '.join(row)})" for row in self.rows) or f"({none})"
        where = "" if self.rows else " WHERE false"
        return f"SELECT {typed} FROM (VALUES\n    {rows}) AS t({', '.join(self.columns)}){where}"

    def __str__(self) -> str:
        indexes = "".join(f", index {name} ({', '.join(columns)})" for name, columns in self.indexes.items())
        return f"{self.name}: key ({', '.join(self.key)}){indexes}\n{self.select}"

    def of(self, *families: str) -> list[str]:
        return [name for name, kind in self.columns.items() if family(kind) in families]


def table(draws: Draws, name: str, prefix: str, like: Table | None = None, rows_max: int = 30) -> Table:
    """A new one; its key can be found in columns of `like`, when that is given."""
    columns: dict[str, str] = {}
    pools: dict[str, Sequence[str]] = {}
    for number in range(1, draws.choice((1, 2, 3, 1, 2)) + 1):
        column = f"{prefix}k{number}"
        kind = draws.choice(KEYED)
        if like is not None and not draws.chance(15):
            origin = draws.choice([name for name, kind in like.columns.items() if kind in KEYED])
            kind, pools[column] = like.columns[origin], [text for text in like.pools[origin] if text != "NULL"]
        columns[column] = kind
        pools[column] = pools.get(column) or _pool(draws, kind, 7)
    key = tuple(columns)
    for number in range(1, draws.choice((1, 2, 4, 6) if like is None else (1, 2, 3)) + 1):
        columns[f"{prefix}c{number}"] = kind = draws.choice(_OTHERS)
        pool = _pool(draws, kind, 5)
        pools[f"{prefix}c{number}"] = [*pool, "NULL"] if draws.chance(75) else pool
    if draws.chance(25):  # the key stands behind
        columns = dict(reversed(columns.items()))
    keyed = [column for column, kind in columns.items() if kind in KEYED]
    indexes = {f"by_{number}": tuple(draws.some(keyed, (1, 2, 1, 3))) for number in range(draws.choice((0, 1, 2)))}
    made = Table(name, columns, pools, key, indexes, ())
    return with_rows(draws, made, {}, draws.choice((0, 1, 3, 10, *[rows_max] * 8)))


def with_rows(draws: Draws, table: Table, kept: Mapping[Row, Row], count: int) -> Table:
    """The same with `kept` rows, and up to `count` more, as long as keys are new."""
    rows = dict(kept)
    for _ in range(count):
        row = tuple(draws.choice(table.pools[column]) for column in table.columns)
        rows.setdefault(key_of(table, row), row)
    return msgspec.structs.replace(table, rows=tuple(rows.values()))


def changed(draws: Draws, table: Table) -> Table:
    """Another version: some rows are gone, some are new, some are others under the same key."""
    kept = {key_of(table, row): row for row in table.rows if not draws.chance(20)}
    return with_rows(draws, table, kept, draws.below(len(table.rows) + 3))


def key_of(table: Table, row: Row) -> Row:
    return tuple(text for column, text in zip(table.columns, row, strict=True) if column in table.key)


def _pool(draws: Draws, kind: str, most: int) -> list[str]:
    plain, odd = POOLS[kind]
    return draws.some(plain, range(most // 2, most + 1)) + (draws.some(odd, (1, 2)) if draws.chance(12) else [])
