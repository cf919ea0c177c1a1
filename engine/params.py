"""From what a caller sent to typed key values, with an error that teaches.

Rule: every way in (query string, JSON object, batch) ends in one conversion per kind
and one check per rule. Values leave in *key form*: str, int (a date is its days, a
timestamp its microseconds since the epoch) or bool, ready for the generated key code.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.plan import Param
from havok.errors import BadParam
from havok.keys import INT_MAX, INT_MIN, UINT_MAX, WIDE_MAX, WIDE_MIN, KeyKind, parse_date, parse_timestamp

QUERY_PARAMS_MAX = 64  # as many as headers; a kv key has at most a few dozen columns
SHOWN_CHARS_MAX = 60  # of what a caller sent, in an error

KeyForm = str | int | bool

_TYPE_NAMES: dict[KeyKind, str] = {
    "string": "a string",
    "int": "an integer of 64 bits",
    "uint": "an unsigned integer of 64 bits",
    "wide": "an integer of 128 bits",
    "bool": "true or false",
    "date": "a date, as 2013-01-31",
    "timestamp": "an ISO 8601 timestamp, as 2013-01-31T05:00:00Z",
}
_RANGES: dict[KeyKind, tuple[int, int]] = {
    "int": (INT_MIN, INT_MAX),
    "uint": (0, UINT_MAX),
    "wide": (WIDE_MIN, WIDE_MAX),
}
_DOLLAR = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\$", re.DOTALL)  # or what it means nothing in
_INTEGER = re.compile(r"-?[0-9]{1,40}")


def _integer(value: int, kind: KeyKind) -> int:
    low, high = _RANGES[kind]
    if not low <= value <= high:
        raise ValueError
    return value


def _integer_text(kind: KeyKind) -> Callable[[str], KeyForm]:
    def convert(text: str) -> KeyForm:
        if _INTEGER.fullmatch(text) is None:
            raise ValueError
        return _integer(int(text), kind)

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


# Query value → key form. Each raises ValueError when it is not of that kind.
FROM_TEXT: dict[KeyKind, Callable[[str], KeyForm]] = {
    "string": str,
    "int": _integer_text("int"),
    "uint": _integer_text("uint"),
    "wide": _integer_text("wide"),
    "bool": _bool_text,
    "date": parse_date,
    "timestamp": parse_timestamp,
}
# Decoded JSON value → key form; no string is taken for a number.
FROM_JSON: dict[KeyKind, Callable[[object], KeyForm]] = {
    "string": _word,
    "int": _integer_json("int"),
    "uint": _integer_json("uint"),
    "wide": _integer_json("wide"),
    "bool": _bool_json,
    "date": _date_json,
    "timestamp": _timestamp_json,
}


def show(value: object) -> str:
    """A caller's value in an error message, cut to a bearable length."""
    if isinstance(value, str | bytes):
        value = value[:SHOWN_CHARS_MAX]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, nesting without end
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"


class _Slot:
    """One parameter, ready to be bound."""

    __slots__ = ("check", "default", "from_json", "from_text", "param")

    def __init__(self, param: Param) -> None:
        """Raises ValueError when a rule or the default does not fit the kind."""
        self.param = param
        self.from_text: Callable[[Any], KeyForm] = FROM_TEXT[param.kind]
        self.from_json: Callable[[Any], KeyForm] = FROM_JSON[param.kind]
        self.check = _check(param)
        self.default = None if param.default is None else self.from_json(param.default)

    def bind(self, value: Any, convert: Callable[[Any], KeyForm]) -> KeyForm:
        param = self.param
        if value is None:
            if self.default is None:
                detail = f"parameter {param.name} is required: {_TYPE_NAMES[param.kind]}"
                raise BadParam(param.name, "required", detail)
            return self.default
        try:
            form = convert(value)
        except (ValueError, OverflowError):
            detail = f"parameter {param.name} must be {_TYPE_NAMES[param.kind]}, not {show(value)}"
            raise BadParam(param.name, "type", detail) from None
        if self.check is not None:
            self.check(form)
        return form


class Binder:
    """Binds one plan's parameters. Raises BadParam naming the parameter and the rule."""

    def __init__(self, params: Sequence[Param]) -> None:
        """Raises ValueError when a rule or default does not fit its parameter's kind."""
        self._names = frozenset(param.name for param in params)
        self._known = ", ".join(param.name for param in params)
        self._slots = tuple(_Slot(param) for param in params)

    def from_query(self, query: bytes) -> tuple[KeyForm, ...]:
        """`a=1&b=x%20y` → key form, in the order of the key; `+` is a space."""
        values = parse_query(query)
        if not self._names.issuperset(values):
            raise self._unknown(values)
        get = values.get
        return tuple([slot.bind(get(slot.param.name), slot.from_text) for slot in self._slots])

    def from_object(self, values: Mapping[str, object]) -> tuple[KeyForm, ...]:
        """A JSON object of parameters → key form; null is as good as absent."""
        if not self._names.issuperset(values):
            raise self._unknown(values)
        get = values.get
        return tuple([slot.bind(get(slot.param.name), slot.from_json) for slot in self._slots])

    def from_array(self, position: int, values: Sequence[object]) -> tuple[KeyForm, ...]:
        """One key of a batch → key form; `position` is for the message."""
        if len(values) != len(self._slots):
            detail = f"keys[{position}] needs {len(self._slots)} values: {self._known}"
            raise BadParam(f"keys[{position}]", "length", detail)
        try:
            return tuple([slot.bind(value, slot.from_json) for slot, value in zip(self._slots, values, strict=True)])
        except BadParam as error:
            raise BadParam(f"keys[{position}].{error.param}", error.rule, f"keys[{position}]: {error.detail}") from None

    def _unknown(self, values: Mapping[str, Any]) -> BadParam:
        name = next(name for name in values if name not in self._names)
        detail = f"there is no parameter {show(name)}; known: {self._known}"
        return BadParam(name[:SHOWN_CHARS_MAX], "unknown", detail)


def parse_query(query: bytes) -> dict[str, str]:
    """Raises BadParam for a repeated name, bytes that are not UTF-8, or too many."""
    values: dict[str, str] = {}
    if not query:
        return values
    items = query.decode("latin-1").split("&", QUERY_PARAMS_MAX)  # a target is ASCII
    if len(items) > QUERY_PARAMS_MAX:
        raise BadParam("", "count", f"more than {QUERY_PARAMS_MAX} parameters")
    for item in items:
        name, _, value = item.partition("=")
        if "%" in item or "+" in item:
            name = _decode(name, "a parameter name")
            value = _decode(value, name)
        if name in values:
            raise BadParam(name[:SHOWN_CHARS_MAX], "repeated", f"parameter {show(name)} is given more than once")
        if item:
            values[name] = value
    return values


def _decode(text: str, name: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadParam(name[:SHOWN_CHARS_MAX], "encoding", f"{show(name)} is not UTF-8") from None


def _check(param: Param) -> Callable[[KeyForm], None] | None:
    """The rules of a parameter as one function; None when it has none."""
    rules, name = param.rules, param.name
    low = None if rules.min is None else _bound(param, rules.min)
    high = None if rules.max is None else _bound(param, rules.max)
    pattern = None if rules.pattern is None else _compile(rules.pattern)
    allowed = tuple(_bound(param, value) for value in rules.enum)
    if low is None and high is None and pattern is None and not allowed:
        return None

    def check(value: KeyForm) -> None:
        if low is not None and value < low:  # type: ignore[operator]
            raise BadParam(name, "min", f"parameter {name} must be at least {rules.min}")
        if high is not None and value > high:  # type: ignore[operator]
            raise BadParam(name, "max", f"parameter {name} must be at most {rules.max}")
        if pattern is not None and pattern.search(str(value)) is None:
            raise BadParam(name, "pattern", f"parameter {name} must match {rules.pattern}")
        if allowed and value not in allowed:
            choices = ", ".join(str(choice) for choice in rules.enum)
            raise BadParam(name, "enum", f"parameter {name} must be one of {choices}")

    return check


def _compile(pattern: str) -> re.Pattern[str]:
    """`$` is the end, as in JSON Schema; Python's would let a line feed through after it."""
    if "(?" not in pattern or re.compile(pattern).flags & re.MULTILINE == 0:
        pattern = _DOLLAR.sub(lambda match: match[1] or r"\Z", pattern)
    return re.compile(pattern)


def _bound(param: Param, value: str | int | float) -> KeyForm | float:
    """A bound in key form. Raises ValueError when it is not of the parameter's kind."""
    if isinstance(value, float) and param.kind in _RANGES:
        return value
    return FROM_JSON[param.kind](value)
