"""Casts between SQL types, of Python values.

Rule: pure, and equal to DuckDB 2 to the letter, its errors included, but that text is never
rounded to fit. No value is None.
"""

import datetime
import math
import re
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from engine.queries.arithmetic import EXACT, fit_decimal, fit_integer, out_of_range
from engine.sqltype import family, width_and_scale
from havok.errors import QueryFailed

_SINGLE = struct.Struct("f")
# No digits and spaces but ASCII's; Python alone takes more.
_INTEGER_TEXT = re.compile(r"\s*([+-]?[0-9]{1,39})\s*", re.ASCII)
SEEN_CHARS_MAX = 80  # of a text, in the log
_DOUBLE_TEXT = re.compile(
    r"\s*([+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan))\s*", re.ASCII | re.IGNORECASE
)


def round_decimal(value: Decimal, scale: int) -> Decimal:
    """Halves away from zero."""
    return unsigned(value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, EXACT))


def unsigned(value: Decimal) -> Decimal:
    """SQL has no negative zero."""
    return value or value.copy_abs()


def double_to_integer(value: float, kind: str) -> int:
    """Halves to even, as the processor rounds."""
    if not math.isfinite(value):
        out_of_range(kind)
    return fit_integer(round(value), kind)


def decimal_to_integer(value: Decimal, kind: str) -> int:
    return fit_integer(int(round_decimal(value, 0)), kind)


def to_decimal(value: int | Decimal, kind: str) -> Decimal:
    _, scale = width_and_scale(kind)
    return fit_decimal(round_decimal(Decimal(value), scale), kind)


def text_to_integer(value: str, kind: str) -> int:
    found = _INTEGER_TEXT.fullmatch(value)
    if found is None:
        raise QueryFailed(f"a text is no {kind}", seen=value[:SEEN_CHARS_MAX])
    return fit_integer(int(found[1]), kind)


def text_to_double(value: str) -> float:
    found = _DOUBLE_TEXT.fullmatch(value)
    if found is None:
        raise QueryFailed("a text is no DOUBLE", seen=value[:SEEN_CHARS_MAX])
    return float(found[1])


def moment_text(value: datetime.datetime) -> str:
    """`2013-01-01 05:00:00.5`, a zone as +00."""
    text = value.isoformat(" ", "microseconds" if value.microsecond else "seconds")
    zone = ""
    if value.tzinfo is not None:
        text, zone = text[:-6], "+00"
    return (text.rstrip("0") if value.microsecond else text) + zone


def single(value: float) -> float:
    """The FLOAT that is nearest."""
    return float(_SINGLE.unpack(_SINGLE.pack(value))[0])


def bool_text(value: bool) -> str:
    return "true" if value else "false"


def _decimal_text(kind: str) -> Callable[[Decimal], str]:
    """Without the zero before the point where there can be nothing else, as DuckDB prints it."""
    if family(kind) == "decimal" and len(set(width_and_scale(kind))) == 1:
        return lambda value: f"{value:f}".replace("0.", ".", 1)
    return lambda value: f"{value:f}"


def midnight(value: datetime.date) -> datetime.datetime:
    return datetime.datetime(value.year, value.month, value.day)


def cast(source: str, target: str) -> Callable[[Any], Any] | None:
    """Value of type `source` → the same as `target`; None when there is no such cast here."""
    if source == target:
        return lambda value: value
    found, wanted = family(source), family(target)
    ways: dict[str, Callable[[Any], Any]] = {}
    if wanted == "int":
        ways = {
            "int": lambda value: fit_integer(value, target),
            "bool": int,
            "decimal": lambda value: decimal_to_integer(value, target),
            "double": lambda value: double_to_integer(value, target),
            "string": lambda value: text_to_integer(value, target),
        }
    elif wanted == "double":
        ways = {"int": float, "decimal": float, "float": float, "bool": float, "string": text_to_double}
    elif wanted == "decimal":
        ways = dict.fromkeys(("int", "decimal"), lambda value: to_decimal(value, target))
    elif wanted == "string":
        ways = {
            "int": str,
            "double": repr,
            "decimal": _decimal_text(source),
            "bool": bool_text,
            "date": datetime.date.isoformat,
            "moment": moment_text,
        }
    if ways:
        return ways.get(found)
    if target == "DATE" and source == "TIMESTAMP":
        return datetime.datetime.date
    if target == "TIMESTAMP" and source == "DATE":
        return midnight
    return None
