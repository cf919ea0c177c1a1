"""What a caller sent for one parameter, as the value that generated code takes.

Rule: one conversion for each kind and way in: `text` is a value of a query string after
percent-decoding, `json` one of a JSON document. A parameter without an SQL type leaves in
*key form*: str, int (a date is its days, a timestamp its microseconds since the epoch) or
bool. One with an SQL type leaves as the Python value of the type's family
(`engine.sqltype`); a list as a list of them, which is not to be changed: it may be the default.

Every conversion raises ValueError or OverflowError when a value is not of the kind. Nothing
is rounded to fit, but that a DOUBLE is the number nearest to the text. For DECIMALs a JSON
number must not have been read as a float: decode with `number` as float_hook, and digits
are exact in JSON as in a string or a query. In MessagePack a number with a fraction is a
float; what a float cannot hold is to be sent as a string.
"""

import datetime
import math
import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from engine.plan import Param, ParamKind
from engine.sqltype import TIMESTAMPTZ, WIDTH_MAX, family, width_and_scale
from havok.keys import INT_MAX, INT_MIN, UINT_MAX, WIDE_MAX, WIDE_MIN, KeyKind, parse_date, parse_timestamp

NUMBER_CHARS_MAX = 400  # of a float or a decimal: a float written without exponent has 310 before the point

KeyForm = str | int | bool
Value = KeyForm | float | Decimal | datetime.date | datetime.datetime
Bound = Value | list[Value]  # what a parameter leaves as

_NOUNS: dict[ParamKind, str] = {
    "string": "a string",
    "int": "an integer of 64 bits",
    "uint": "an unsigned integer of 64 bits",
    "wide": "an integer of 128 bits",
    "bool": "true or false",
    "date": "a date, as 2013-01-31",
    "timestamp": "an ISO 8601 timestamp, as 2013-01-31T05:00:00Z",
    "float": "a finite number",
}
_KINDS: dict[str, ParamKind] = {
    "VARCHAR": "string",
    "BIGINT": "int",
    "UBIGINT": "uint",
    "HUGEINT": "wide",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    TIMESTAMPTZ: "timestamp",
    "DOUBLE": "float",
}
_RANGES: dict[ParamKind, tuple[int, int]] = {
    "int": (INT_MIN, INT_MAX),
    "uint": (0, UINT_MAX),
    "wide": (WIDE_MIN, WIDE_MAX),
}
_INTEGER = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?")
_DIGITS = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_LOSSLESS = Context(prec=WIDTH_MAX, Emax=10_000, Emin=-10_000, traps=[Inexact, InvalidOperation])


def param_kind(type_text: str) -> ParamKind:
    """The kind of a parameter whose value, or each item of it, has an SQL type. ValueError when none has."""
    item = type_text.removesuffix("[]")
    found: ParamKind | None = "decimal" if family(item) == "decimal" else _KINDS.get(item)
    if found is None:
        raise ValueError(f"no parameter is a {type_text}")
    return found


def noun(param: Param) -> str:
    """What a value of the parameter must be, or each item of it: `an integer of 64 bits`."""
    if param.kind != "decimal":
        return _NOUNS[param.kind]
    width, scale = width_and_scale(param.type.removesuffix("[]"))
    if not scale:
        return f"a whole number of at most {width} digits"
    return f"a number of at most {width - scale} digits before the point and {scale} after it"


def number(text: str) -> Decimal | float:
    """A number of JSON with a fraction or an exponent, exactly: the float_hook of its decoder."""
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond any number
        return math.inf


def from_text(param: Param) -> Callable[[str], Value]:
    """The conversion of a value in a query string, or of an item of it."""
    kind, read = param.kind, _value_of(param)
    if kind == "float":
        return _float_text
    if kind == "decimal":
        fit = _fit(param.type)
        return lambda text: fit(_decimal_text(text))
    convert = FROM_TEXT[kind]
    return convert if read is None else lambda text: read(convert(text))


def from_json(param: Param) -> Callable[[object], Value]:
    """The conversion of a decoded JSON value, or of an item of it."""
    kind, read = param.kind, _value_of(param)
    if kind == "float":
        return _float_json
    if kind == "decimal":
        fit = _fit(param.type)
        return lambda value: fit(_decimal_json(value))
    convert = FROM_JSON[kind]
    return convert if read is None else lambda value: read(convert(value))


def bound_of(param: Param, value: str | int | float) -> Value:
    """A value of a rule in the form it is compared in. A bound may be finer than what it bounds."""
    if isinstance(value, float) and param.kind in _RANGES:
        return value
    return _decimal_json(value) if param.kind == "decimal" else from_json(param)(value)


def _value_of(param: Param) -> Callable[[Any], Value] | None:
    """Key form → the value of the SQL type; None where they are the same."""
    item = param.type.removesuffix("[]")
    return {"DATE": _day, "TIMESTAMP": _moment, TIMESTAMPTZ: _moment_utc}.get(item)


def _day(days: int) -> Value:
    return datetime.date.fromordinal(days + _EPOCH_DAY)


def _moment(microseconds: int) -> Value:
    return _EPOCH + datetime.timedelta(microseconds=microseconds)


def _moment_utc(microseconds: int) -> Value:
    return _EPOCH_UTC + datetime.timedelta(microseconds=microseconds)


def _integer(value: int, kind: KeyKind) -> int:
    low, high = _RANGES[kind]
    if not low <= value <= high:
        raise ValueError
    return value


def _integer_text(kind: KeyKind) -> Callable[[str], KeyForm]:
    low, high = _RANGES[kind]
    is_integer = _INTEGER.fullmatch

    def convert(text: str) -> KeyForm:
        if is_integer(text) is None:
            raise ValueError
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return convert


def _integer_json(kind: KeyKind) -> Callable[[object], KeyForm]:
    def convert(value: object) -> KeyForm:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError
        return _integer(value, kind)

    return convert


def _bool_text(text: str) -> KeyForm:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise ValueError
    return lowered == "true"


def _bool_json(value: object) -> KeyForm:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _date_json(value: object) -> KeyForm:
    return parse_date(_word(value))


def _timestamp_json(value: object) -> KeyForm:
    return parse_timestamp(_word(value))


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _float_text(text: str) -> float:
    if len(text) > NUMBER_CHARS_MAX or _NUMBER.fullmatch(text) is None:
        raise ValueError
    return _finite(float(text))


def _float_json(value: object) -> float:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise ValueError
    return _finite(float(value))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError
    return value


def _decimal_text(text: str) -> Decimal:
    if len(text) > NUMBER_CHARS_MAX or _DIGITS.fullmatch(text) is None:
        raise ValueError
    return Decimal(text)


def _decimal_json(value: object) -> Decimal:
    """A number, or its digits as a string; a float is what it is written as in the fewest digits."""
    if isinstance(value, str):
        return _decimal_text(value)
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise ValueError
    found = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not found.is_finite():
        raise ValueError
    return found


def _fit(type_text: str) -> Callable[[Decimal], Decimal]:
    """A number → the same with the digits after the point that the type has."""
    width, scale = width_and_scale(type_text.removesuffix("[]"))
    unit = Decimal(1).scaleb(-scale)

    def fit(value: Decimal) -> Decimal:
        try:
            found = value.quantize(unit, context=_LOSSLESS)
        except (Inexact, InvalidOperation):  # digits would be lost, or are too many for any type
            raise ValueError from None
        if not found:
            return found.copy_abs()  # SQL has no negative zero
        if found.adjusted() >= width - scale:
            raise ValueError
        return found

    return fit


# Query value → key form.
FROM_TEXT: dict[ParamKind, Callable[[str], KeyForm]] = {
    "string": str,
    "int": _integer_text("int"),
    "uint": _integer_text("uint"),
    "wide": _integer_text("wide"),
    "bool": _bool_text,
    "date": parse_date,
    "timestamp": parse_timestamp,
}
# Decoded JSON value → key form; no string is taken for a number.
FROM_JSON: dict[ParamKind, Callable[[object], KeyForm]] = {
    "string": _word,
    "int": _integer_json("int"),
    "uint": _integer_json("uint"),
    "wide": _integer_json("wide"),
    "bool": _bool_json,
    "date": _date_json,
    "timestamp": _timestamp_json,
}
