"""From what a caller sent to the values of a plan's parameters, with an error that teaches.

Rule: every way in (query string, JSON object, batch) ends in one conversion per kind
(`engine.param_values`) and one check per rule, of a list for each item. In a query string
the items of a list stand between commas, after percent-decoding, and no text is no item:
an item with a comma in it, or a list of one empty string, needs the array of a POST.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.param_values import Bound, Value, bound_of, from_json, from_text, noun, param_kind
from engine.plan import Param
from havok.errors import BadParam

QUERY_PARAMS_MAX = 64  # as many as headers; a kv key has at most a few dozen columns
SHOWN_CHARS_MAX = 60  # of what a caller sent, in an error
ITEMS_MAX = 1000  # of a list that says no other bound

_DOLLAR = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])|\$", re.DOTALL)  # or what it means nothing in


def show(value: object) -> str:
    """A caller's value in an error message, cut to a bearable length."""
    if isinstance(value, str | bytes):
        value = value[:SHOWN_CHARS_MAX]
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, nesting without end
        return f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"


class _Slot:
    """One parameter, ready to be bound."""

    __slots__ = ("check", "default", "from_json", "from_text", "name", "noun", "param")

    def __init__(self, param: Param) -> None:
        """Raises ValueError when a rule or the default does not fit the kind."""
        assert not param.type or param.kind == param_kind(param.type), f"{param.kind} is no kind of {param.type}"
        self.param = param
        self.name = param.name
        self.noun = noun(param)
        self.from_text: Callable[[Any], Bound] = from_text(param)
        self.from_json: Callable[[Any], Bound] = from_json(param)
        self.check: Callable[[Any, str], None] | None = _check(param)
        if param.is_list:
            self.noun = f"a list, each item {self.noun}"
            items = _Items(param, self.check)
            self.from_text, self.from_json, self.check = items.from_text, items.from_json, None
        try:
            self.default = None if param.default is None else self.from_json(param.default)
        except BadParam as error:  # of an item
            raise ValueError(error.detail) from None

    def bind(self, value: Any, convert: Callable[[Any], Bound]) -> Bound:
        if value is None:
            if self.default is None:
                raise BadParam(self.name, "required", f"parameter {self.name} is required: {self.noun}")
            return self.default
        try:
            form = convert(value)
        except (ValueError, OverflowError):
            detail = f"parameter {self.name} must be {self.noun}, not {show(value)}"
            raise BadParam(self.name, "type", detail) from None
        if self.check is not None:
            self.check(form, self.name)
        return form


class _Items:
    """The conversions of a parameter that is a list. Items are checked here, each by its own name."""

    __slots__ = ("_check", "_from_json", "_from_text", "_items_max", "_name", "_noun")

    def __init__(self, param: Param, check: Callable[[Value, str], None] | None) -> None:
        self._name = param.name
        self._noun = noun(param)
        self._items_max = ITEMS_MAX if param.items_max is None else param.items_max
        self._check = check
        self._from_text: Callable[[Any], Value] = from_text(param)
        self._from_json: Callable[[Any], Value] = from_json(param)

    def from_text(self, text: str) -> list[Value]:
        """Raises BadParam."""
        self._admit(text.count(",") + 1)
        return self._bound(text.split(",") if text else (), self._from_text)

    def from_json(self, values: object) -> list[Value]:
        """Raises BadParam for an item, ValueError for what is no array."""
        if not isinstance(values, list | tuple):
            raise ValueError
        self._admit(len(values))
        return self._bound(values, self._from_json)

    def _admit(self, count: int) -> None:
        if count > self._items_max:
            detail = f"parameter {self._name} has {count} items; at most {self._items_max} in one request"
            raise BadParam(self._name, "max_items", detail)

    def _bound(self, values: Sequence[object], convert: Callable[[Any], Value]) -> list[Value]:
        found: list[Value] = []
        for position, value in enumerate(values):
            try:
                form = convert(value)
            except (ValueError, OverflowError):
                name = f"{self._name}[{position}]"
                shown = "null" if value is None else show(value)
                raise BadParam(name, "type", f"parameter {name} must be {self._noun}, not {shown}") from None
            if self._check is not None:
                self._check(form, f"{self._name}[{position}]")
            found.append(form)
        return found


class Binder:
    """Binds one plan's parameters. Raises BadParam naming the parameter and the rule."""

    def __init__(self, params: Sequence[Param], reserved: Sequence[str] = ()) -> None:
        """`reserved`: names that a request may have besides, which are the caller's to read.

        Raises ValueError when a rule or default does not fit its parameter's kind.
        """
        self._names = frozenset((*(param.name for param in params), *reserved))
        self._known = ", ".join(param.name for param in params)
        self._allowed = ", ".join((*(param.name for param in params), *reserved)) or "none"
        self._slots = tuple(_Slot(param) for param in params)

    def from_query(self, query: bytes) -> tuple[Bound, ...]:
        """`a=1&b=x%20y` → values, in the order of the parameters; `+` is a space."""
        return self.from_texts(parse_query(query))

    def from_texts(self, values: Mapping[str, str]) -> tuple[Bound, ...]:
        """The parameters of a query string, parsed."""
        if not self._names.issuperset(values):
            raise self._unknown(values)
        get = values.get
        return tuple([slot.bind(get(slot.name), slot.from_text) for slot in self._slots])

    def from_object(self, values: Mapping[str, object]) -> tuple[Bound, ...]:
        """A JSON object of parameters → values; null is as good as absent."""
        if not self._names.issuperset(values):
            raise self._unknown(values)
        get = values.get
        return tuple([slot.bind(get(slot.name), slot.from_json) for slot in self._slots])

    def from_array(self, position: int, values: Sequence[object]) -> tuple[Bound, ...]:
        """One key of a batch → values; `position` is for the message."""
        if len(values) != len(self._slots):
            detail = f"keys[{position}] needs {len(self._slots)} values: {self._known}"
            raise BadParam(f"keys[{position}]", "length", detail)
        try:
            return tuple([slot.bind(value, slot.from_json) for slot, value in zip(self._slots, values, strict=True)])
        except BadParam as error:
            raise BadParam(f"keys[{position}].{error.param}", error.rule, f"keys[{position}]: {error.detail}") from None

    def _unknown(self, values: Mapping[str, Any]) -> BadParam:
        name = next(name for name in values if name not in self._names)
        detail = f"there is no parameter {show(name)}; known: {self._allowed}"
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


def _check(param: Param) -> Callable[[Any, str], None] | None:
    """The rules of a value, or an item, of that name as one function; None when there are none."""
    rules = param.rules
    low = None if rules.min is None else bound_of(param, rules.min)
    high = None if rules.max is None else bound_of(param, rules.max)
    search = None if rules.pattern is None else _compile(rules.pattern).search
    allowed = tuple(bound_of(param, value) for value in rules.enum)
    if low is None and high is None and search is None and not allowed:
        return None

    def check(value: Any, name: str) -> None:
        if low is not None and value < low:
            raise BadParam(name, "min", f"parameter {name} must be at least {rules.min}")
        if high is not None and value > high:
            raise BadParam(name, "max", f"parameter {name} must be at most {rules.max}")
        if search is not None and search(str(value)) is None:
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
