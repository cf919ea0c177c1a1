"""SQL's functions on Python values.

Rule: pure, and equal to DuckDB 2 to the letter; the tests ask DuckDB. No argument is None:
generated code does not call with NULL. `FUNCTIONS` names what a plan may call.
"""

import datetime
import math
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Any

from engine.queries.arithmetic import EXACT, out_of_range, wide_remainder
from engine.queries.casts import round_decimal, single, unsigned

_PATTERNS_MAX = 256  # compiled LIKE patterns that came as parameters
# What trim() takes away: spaces of every width, no tabs and lines.
_SPACES = " \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_POWER_MAX = 308  # of ten, of a double
_EXACT_POWER_MAX = 22  # of ten, that is a double exactly: 5²² < 2⁵³


@lru_cache(_PATTERNS_MAX)
def like_matcher(pattern: str, *, fold: bool = False) -> Callable[[str], bool]:
    """LIKE, where % is any text and _ any character; nothing is escaped.

    What stands between two % is found in turn, each as early as it can be: a pattern, which may be a
    caller's, never makes it go back.
    """
    if fold:
        matches = like_matcher(lower(pattern))
        return lambda text: matches(lower(text))
    if "%" not in pattern:
        whole = _segment(pattern)
        return lambda text: len(text) == len(pattern) and whole(text, 0, len(text)) == 0
    head, *between, tail = pattern.split("%")
    starts, ends = _segment(head), _segment(tail)
    found = [(_segment(part), len(part)) for part in between if part]

    def matches_parts(text: str) -> bool:
        at, end = len(head), len(text) - len(tail)
        if at > end or starts(text, 0, at) != 0 or ends(text, end, len(text)) != end:
            return False
        for find, size in found:
            at = find(text, at, end)
            if at < 0:
                return False
            at += size
        return True

    return matches_parts


def _segment(part: str) -> Callable[[str, int, int], int]:
    """→ where the part is first in text[start:end], else -1; _ is any character."""
    if "_" not in part:
        return lambda text, start, end: text.find(part, start, end)
    search = re.compile("".join("." if letter == "_" else re.escape(letter) for letter in part), re.DOTALL).search

    def find(text: str, start: int, end: int) -> int:
        match = search(text, start, end)
        return -1 if match is None else match.start()

    return find


def like(text: str, pattern: str) -> bool:
    return like_matcher(pattern)(text)


def ilike(text: str, pattern: str) -> bool:
    return like_matcher(pattern, fold=True)(text)


def upper(text: str) -> str:
    """Letter for letter, as Unicode's simple mapping has it: ß is ẞ, not SS."""
    found = text.upper()
    return found if len(found) == len(text) else "".join(map(_upper_letter, text))


def _upper_letter(letter: str) -> str:
    if letter == "ß":
        return "ẞ"
    return next((found for found in (letter.upper(), letter.title()) if len(found) == 1), letter)


def lower(text: str) -> str:
    """Letter for letter: İ is i, and Σ is σ at the end of a word too."""
    return text.lower() if text.isascii() else text.replace("İ", "i").replace("Σ", "σ").lower()


def substr(text: str, start: int, length: int | None = None) -> str:
    """From 1; a negative start counts from the end."""
    begin = start - 1 if start > 0 else len(text) + start if start < 0 else -1
    if length is None:
        return text[max(begin, 0) :]
    end = begin + length
    if length < 0:
        begin, end = end, begin
    return text[max(begin, 0) : max(end, 0)]


def left(text: str, count: int) -> str:
    return text[:count] if count >= 0 else text[: max(len(text) + count, 0)]


def right(text: str, count: int) -> str:
    if count < 0:
        return text[min(-count, len(text)) :]
    return text[len(text) - count :] if count < len(text) else text


# -- numbers -------------------------------------------------------------------------


def round_double(value: float, digits: int = 0) -> float:
    """Halves of the scaled value away from zero; `digits` are not negative.

    As DuckDB has it: what scaling rounds to a half is none when it is a little less, as 9999.15 is
    less than it reads. That is looked at as far as a double holds the power of ten, and not beyond.
    """
    if not math.isfinite(value) or digits > _POWER_MAX:
        return value
    factor = 10.0**digits
    scaled = abs(value) * factor
    if not math.isfinite(scaled):
        return value
    whole = math.floor(scaled)
    up = scaled - whole >= 0.5
    if scaled - whole == 0.5 and 0 < digits <= _EXACT_POWER_MAX:
        numerator, denominator = abs(value).as_integer_ratio()
        up = 2 * numerator * 10**digits >= (2 * whole + 1) * denominator
    return math.copysign((whole + up) / factor, value)


def _round_decimal(value: Decimal, digits: int) -> Decimal:
    return round_decimal(value, digits) if int(value.as_tuple().exponent) < -digits else value


def power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf if base > 0 or exponent % 2 == 0 else -math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def square_root(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


def exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    def logarithm(value: float) -> float:
        if value > 0:
            return function(value)
        return -math.inf if value == 0 else math.nan

    return logarithm


def sign(value: float | int | Decimal) -> int:
    return (value > 0) - (value < 0)


def _whole(direction: str) -> Callable[[Decimal], Decimal]:
    return lambda value: unsigned(value.quantize(Decimal(1), direction, EXACT))


def _whole_double(function: Callable[[float], int]) -> Callable[[float], float]:
    """Zero keeps the sign of what it comes from."""
    return lambda value: math.copysign(function(value), value) if math.isfinite(value) else value


# -- dates ---------------------------------------------------------------------------


def _monday(value: datetime.date) -> datetime.date:
    return value - datetime.timedelta(days=value.weekday())


def date_trunc(unit: str, value: datetime.date) -> datetime.datetime:
    """The start of the unit that the date or moment lies in; the zone, if any, stays."""
    zone = value.tzinfo if isinstance(value, datetime.datetime) else None
    if isinstance(value, datetime.datetime) and unit in CLOCK_UNITS:
        smaller = {"microsecond": 0, "second": 0, "minute": 0}
        for kept in CLOCK_UNITS[: CLOCK_UNITS.index(unit) + 1]:
            smaller.pop(kept, None)
        return value.replace(**smaller)  # type: ignore[arg-type]
    if unit == "year":
        start = datetime.date(value.year, 1, 1)
    elif unit == "quarter":
        start = datetime.date(value.year, (value.month - 1) // 3 * 3 + 1, 1)
    elif unit == "month":
        start = datetime.date(value.year, value.month, 1)
    else:
        start = _monday(value) if unit == "week" else value
    return datetime.datetime(start.year, start.month, start.day, tzinfo=zone)


DATE_UNITS = ("year", "quarter", "month", "week", "day")
CLOCK_UNITS = ("hour", "minute", "second")
PARTS: dict[str, Callable[[Any], int]] = {
    "year": lambda value: value.year,
    "quarter": lambda value: (value.month + 2) // 3,
    "month": lambda value: value.month,
    "week": lambda value: value.isocalendar().week,
    "day": lambda value: value.day,
    "dow": lambda value: value.isoweekday() % 7,
    "isodow": lambda value: value.isoweekday(),
    "doy": lambda value: value.timetuple().tm_yday,
    "hour": lambda value: getattr(value, "hour", 0),
    "minute": lambda value: getattr(value, "minute", 0),
    "second": lambda value: getattr(value, "second", 0),
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August",
           "September", "October", "November", "December")  # fmt: skip


def add_days(value: datetime.date, count: int) -> datetime.date:
    try:
        return value + datetime.timedelta(days=count)
    except OverflowError:
        out_of_range("DATE of the years 1 to 9999")


def days_between(left: datetime.date, right: datetime.date) -> int:
    """`left - right`."""
    return (left - right).days


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda value: value,
    "abs": abs,
    "abs_decimal": Decimal.copy_abs,
    "sign": sign,
    "round_double": round_double,
    "round_single": lambda value, digits: single(round_double(value, digits)),
    "round_decimal": _round_decimal,
    "round_decimal_whole": lambda value: round_decimal(value, 0),
    "floor_double": _whole_double(math.floor),
    "ceil_double": _whole_double(math.ceil),
    "floor_decimal": _whole(ROUND_FLOOR),
    "ceil_decimal": _whole(ROUND_CEILING),
    "trunc_double": _whole_double(math.trunc),
    "trunc_decimal": _whole(ROUND_DOWN),
    "wide_remainder": wide_remainder,
    "sqrt": square_root,
    "power": power,
    "exp": exponential,
    "ln": _logarithm(math.log),
    "log10": _logarithm(math.log10),
    "length": len,
    "upper": upper,
    "lower": lower,
    "trim": lambda text, letters=_SPACES: text.strip(letters),
    "ltrim": lambda text, letters=_SPACES: text.lstrip(letters),
    "rtrim": lambda text, letters=_SPACES: text.rstrip(letters),
    "replace": lambda text, old, new: text.replace(old, new) if old else text,
    "substr": substr,
    "left": left,
    "right": right,
    "reverse": lambda text: text[::-1],
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "contains": lambda text, part: part in text,
    "strpos": lambda text, part: text.find(part) + 1,
    "date_trunc": date_trunc,
    "dayname": lambda value: _DAYS[value.weekday()],
    "monthname": lambda value: _MONTHS[value.month - 1],
    **{f"part_{name}": function for name, function in PARTS.items()},
    "add_days": add_days,
    "days_between": days_between,
}
