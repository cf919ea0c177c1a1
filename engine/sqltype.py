"""SQL types as DuckDB names them, and what happens when two of them meet.

Rule: pure, and DuckDB 2's word is law: each rule here is what `DESCRIBE` prints, and the
tests ask DuckDB. A type is its text (`INTEGER`, `DECIMAL(10,2)`), as a manifest has it.

A *family* says what Python value stands for one:
    int      int, of TINYINT … HUGEINT, within the type's range
    decimal  decimal.Decimal, with exactly the type's scale
    double   float
    float    float, of FLOAT: it is compared and shown, never calculated with
    bool     bool
    string   str
    date     datetime.date
    moment   datetime.datetime, naive for TIMESTAMP, in UTC for TIMESTAMP WITH TIME ZONE
    opaque   BLOB, JSON, lists, structs, maps: passed through as they are stored
    null     the type of a bare NULL
"""

import datetime
import re
from decimal import Decimal
from typing import Any, Literal

from havok.keys import INT_MAX, INT_MIN, UINT_MAX, WIDE_MAX, WIDE_MIN

Family = Literal["int", "decimal", "double", "float", "bool", "string", "date", "moment", "opaque", "null"]

INTEGERS: dict[str, tuple[int, int]] = {
    "TINYINT": (-(1 << 7), (1 << 7) - 1),
    "UTINYINT": (0, (1 << 8) - 1),
    "SMALLINT": (-(1 << 15), (1 << 15) - 1),
    "USMALLINT": (0, (1 << 16) - 1),
    "INTEGER": (-(1 << 31), (1 << 31) - 1),
    "UINTEGER": (0, (1 << 32) - 1),
    "BIGINT": (INT_MIN, INT_MAX),
    "UBIGINT": (0, UINT_MAX),
    "HUGEINT": (WIDE_MIN, WIDE_MAX),
}
DIGITS = {  # of the DECIMAL that holds any value of an integer type
    "TINYINT": 3, "UTINYINT": 3, "SMALLINT": 5, "USMALLINT": 5, "INTEGER": 10, "UINTEGER": 10,
    "BIGINT": 19, "UBIGINT": 20, "HUGEINT": 38,
}  # fmt: skip
WIDTH_MAX = 38
WIDTH_64 = 18  # digits of a DECIMAL kept in 64 bits
TIMESTAMPTZ = "TIMESTAMP WITH TIME ZONE"

_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_PLAIN: dict[str, Family] = {
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "bool",
    "VARCHAR": "string",
    "DATE": "date",
    "TIMESTAMP": "moment",
    TIMESTAMPTZ: "moment",
    "NULL": "null",
}
PLAIN_SCALE_MAX = 6  # digits after the point with which str() of a decimal.Decimal never has an exponent (1E-7)
VALUES: dict[Family, Any] = {  # what stands for a value; an opaque one is passed on as it is stored
    "int": int,
    "decimal": Decimal,
    "double": float,
    "float": float,
    "bool": bool,
    "string": str,
    "date": datetime.date,
    "moment": datetime.datetime,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


def family(kind: str) -> Family:
    if kind in INTEGERS:
        return "int"
    if kind in _PLAIN:
        return _PLAIN[kind]
    return "decimal" if _DECIMAL.fullmatch(kind) else "opaque"


def is_number(kind: str) -> bool:
    return family(kind) in ("int", "decimal", "double", "float")


def decimal(width: int, scale: int) -> str:
    return f"DECIMAL({width},{scale})"


def width_and_scale(kind: str) -> tuple[int, int]:
    """Of a DECIMAL, or of the DECIMAL an integer type becomes beside one."""
    if kind in DIGITS:
        return DIGITS[kind], 0
    found = _DECIMAL.fullmatch(kind)
    assert found is not None, f"{kind} has no width"
    return int(found[1]), int(found[2])


def common(left: str, right: str, *, in_column: bool = False) -> str | None:
    """The type that both become to be compared, or to stand in one column; None: there is none.

    Where no DECIMAL holds two others, a column keeps the digits before the point, a comparison those behind it.
    """
    if left == right:
        return left
    if "NULL" in (left, right):
        return right if left == "NULL" else left
    families = {family(left), family(right)}
    if families == {"int"}:
        return _common_integer(left, right)
    if families <= {"int", "decimal"}:
        (width, scale), (other_width, other_scale) = width_and_scale(left), width_and_scale(right)
        most, before = max(scale, other_scale), max(width - scale, other_width - other_scale)
        if in_column and families == {"decimal"}:
            most = min(most, WIDTH_MAX - before)
        return decimal(min(WIDTH_MAX, before + most), most)
    if families <= {"int", "decimal", "double", "float"}:
        return "DOUBLE" if "double" in families else "FLOAT"
    if families == {"date", "moment"}:
        return left if family(left) == "moment" else right
    return None


def _common_integer(left: str, right: str) -> str:
    if left in _SIGNED and right in _SIGNED:
        return max(left, right, key=_SIGNED.index)
    if left in _UNSIGNED and right in _UNSIGNED:
        return max(left, right, key=_UNSIGNED.index)
    signed, unsigned = (left, right) if left in _SIGNED else (right, left)
    return max(signed, _SIGNED[_UNSIGNED.index(unsigned) + 1], key=_SIGNED.index)


def calculated(left: str, right: str) -> str:
    """The type of +, -, *, // and % of two integers."""
    kind = _common_integer(left, right)
    return kind if kind in (left, right) else max(kind, "BIGINT", key=_SIGNED.index)


def rounded(kind: str) -> str:
    """The type of an integer that is rounded: a signed one."""
    return kind if kind in _SIGNED else "HUGEINT" if kind == "UBIGINT" else "BIGINT"


def sum_of_decimals(left: str, right: str) -> str:
    """The type of + and - where one side is a DECIMAL."""
    (width, scale), (other_width, other_scale) = width_and_scale(left), width_and_scale(right)
    widest, most = max(width, other_width), max(scale, other_scale)
    needed = max(most + max(width - scale, other_width - other_scale), widest) + 1
    return decimal(min(needed, WIDTH_MAX), most)


def product_of_decimals(left: str, right: str) -> str | None:
    """The type of * where one side is a DECIMAL; None when its scale would be over 38."""
    (width, scale), (other_width, other_scale) = width_and_scale(left), width_and_scale(right)
    if scale + other_scale > WIDTH_MAX:
        return None
    return decimal(_bounded(width + other_width, max(width, other_width)), scale + other_scale)


def _bounded(width: int, widest: int) -> int:
    """What was in 64 bits stays there: a result that does not fit is an error at run time."""
    if width > WIDTH_64 and widest <= WIDTH_64:
        return WIDTH_64
    return min(width, WIDTH_MAX)
