"""Whether the rules of one parameter make sense together: type, range, pattern, enum, default.

Rule: pure, and only about the rules themselves. Whether they fit the column that the
parameter is compared with is the planner's to say, which knows the schema. Rules of a list
hold for each of its items.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from havok.keys import parse_date, parse_timestamp
from havok.settings import ItemType, Kind, ParamSettings
from havok.typed import Finding, Path, shown

PATTERN_CHARS_MAX = 1000  # a longer one is a table; it belongs in a dataset
ITEMS_MAX = 1000  # of a list: each may be a seek of its own
ITEMS_MAX_DEFAULT = ParamSettings().max_items

_WORDS: dict[ItemType, str] = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "date": "a date, as 2013-01-31",
    "timestamp": "a timestamp, as 2013-01-31T05:00:00Z",
}
_PLURALS: dict[ItemType, str] = {
    "string": "strings",
    "int": "integers",
    "float": "numbers",
    "bool": "true or false",
    "date": "dates, as 2013-01-31",
    "timestamp": "timestamps, as 2013-01-31T05:00:00Z",
}


class _Shape(msgspec.Struct, frozen=True):
    """`is_list` None: no type is declared and no default tells."""

    kind: ItemType
    is_list: bool | None

    @property
    def words(self) -> str:
        return f"an array of {_PLURALS[self.kind]}" if self.is_list else _WORDS[self.kind]


def check_rules(path: Path, rules: ParamSettings, service: Kind = "kv") -> Iterator[Finding]:
    """What is wrong with the rules that stand at `path`, of a parameter of a service of that kind."""
    if service == "kv" and rules.type is not None and (rules.type == "float" or rules.type.startswith("list<")):
        what = "a float" if rules.type == "float" else "a list"
        reason = f"a key column is never {what}; name the column's own type"
        yield Finding((*path, "type"), reason, ((*path, "type"), (*path[:2], "kind")))
        return
    values = _values(path, rules)
    shape = _shape(rules, service, list(values.values()))
    told = tuple((*path, key) for key in ("type", "default", "pattern", "enum"))
    about: tuple[Path, ...] = (*values, *told, (*path[:2], "kind"))
    sound = True
    if rules.default is not None and shape.is_list is not None and isinstance(rules.default, tuple) != shape.is_list:
        sound = False
        yield Finding((*path, "default"), f"expected {shape.words}, got {shown(rules.default)}", about)
        values = {key: value for key, value in values.items() if key[len(path)] != "default"}
    yield from _items(path, rules, shape, about)
    forms: dict[Path, Any] = {}
    for key, value in values.items():
        try:
            forms[key] = _form(shape.kind, value)
        except ValueError:
            sound = False
            yield Finding(key, f"expected {_WORDS[shape.kind]}, got {shown(value)}", about)
    if shape.kind == "bool" and (rules.min is not None or rules.max is not None):
        sound = False
        yield Finding(path, "min and max mean nothing for true and false; remove them", about)
    if rules.pattern is not None and shape.kind != "string":
        sound = False
        yield Finding((*path, "pattern"), f"a pattern is for strings; this parameter is {shape.words}", about)
    pattern = _compile(rules.pattern)
    if isinstance(pattern, str):
        sound = False
        yield Finding((*path, "pattern"), pattern)
    if sound:
        yield from _limits(path, values, forms, about)
        if pattern is not None:
            yield from _unmatched(path, cast(re.Pattern[str], pattern), forms, about)


def _values(path: Path, rules: ParamSettings) -> dict[Path, Any]:
    """Every value that must be of the parameter's type, or of its items'."""
    values: dict[Path, Any] = {}
    if isinstance(rules.default, tuple):
        values |= {(*path, "default", position): value for position, value in enumerate(rules.default)}
    else:
        values[*path, "default"] = rules.default
    values |= {(*path, "min"): rules.min, (*path, "max"): rules.max}
    values |= {(*path, "enum", position): value for position, value in enumerate(rules.enum)}
    return {key: value for key, value in values.items() if value is not None}


def _shape(rules: ParamSettings, service: Kind, values: list[object]) -> _Shape:
    """The declared type; without one, what the first value is taken for."""
    if rules.type is not None:
        is_list = rules.type.startswith("list<")
        return _Shape(cast(ItemType, rules.type[5:-1] if is_list else rules.type), is_list)
    listed = False if service == "kv" or rules.default is not None else None
    if service == "sql" and isinstance(rules.default, tuple):
        listed = True
    first = values[0] if values else None
    kind: ItemType = "string"
    if isinstance(first, bool):
        kind = "bool"
    elif isinstance(first, int | float):  # a key column is never a float
        kind = "float" if service == "sql" and any(isinstance(value, float) for value in values) else "int"
    return _Shape(kind, listed)


def _items(path: Path, rules: ParamSettings, shape: _Shape, about: tuple[Path, ...]) -> Iterator[Finding]:
    """How many items a list may have."""
    here = (*path, "max_items")
    if shape.is_list is False:
        if rules.max_items != ITEMS_MAX_DEFAULT:
            yield Finding(here, f"max_items is for lists; this parameter is {shape.words}", (*about, here))
    elif not 1 <= rules.max_items <= ITEMS_MAX:
        yield Finding(here, f"must be from 1 to {ITEMS_MAX}, is {rules.max_items}")
    elif isinstance(rules.default, tuple) and len(rules.default) > rules.max_items:
        reason = f"the default has {len(rules.default)} items, more than max_items ({rules.max_items})"
        yield Finding((*path, "default"), reason, (*about, here))


def _limits(path: Path, values: dict[Path, Any], forms: dict[Path, Any], about: tuple[Path, ...]) -> Iterator[Finding]:
    """Order of min and max, and whether default and enum lie between; all of one kind here."""
    low, high = (*path, "min"), (*path, "max")
    if low in forms and high in forms and forms[low] > forms[high]:
        yield Finding(low, f"min ({values[low]}) must not be above max ({values[high]})", about)
        return
    for key, form in forms.items():
        if low in forms and form < forms[low]:
            yield Finding(key, f"{values[key]} is below min ({values[low]})", about)
        if high in forms and form > forms[high]:
            yield Finding(key, f"{values[key]} is above max ({values[high]})", about)
    enum = [form for key, form in forms.items() if key[len(path)] == "enum"]
    for key, form in forms.items():
        if enum and key[len(path)] == "default" and form not in enum:
            yield Finding(key, f"the default ({values[key]}) is not in enum", about)


def _unmatched(
    path: Path, pattern: re.Pattern[str], forms: dict[Path, Any], about: tuple[Path, ...]
) -> Iterator[Finding]:
    for key, form in forms.items():
        if key[len(path)] == "default" and pattern.search(form) is None:
            yield Finding(key, f"the default ({form}) does not match the pattern", about)


def _form(kind: ItemType, value: object) -> str | int | float:
    """A value in a form that compares. Raises ValueError when it is not of that kind."""
    if kind == "bool":
        fits = isinstance(value, bool)
    elif kind == "int":
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif kind == "float":
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError
    if kind == "date":
        return parse_date(str(value))
    return parse_timestamp(str(value)) if kind == "timestamp" else cast(str | int | float, value)


def _compile(pattern: str | None) -> re.Pattern[str] | str | None:
    """The compiled pattern, or why it is none."""
    if pattern is None:
        return None
    if len(pattern) > PATTERN_CHARS_MAX:
        return f"longer than {PATTERN_CHARS_MAX} characters"
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
