"""Whether the rules of one parameter make sense together: type, range, pattern, enum, default.

Rule: pure, and only about the rules themselves. Whether they fit the column that the
parameter is compared with is the planner's to say, which knows the schema.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from havok.keys import parse_date, parse_timestamp
from havok.settings import ParamSettings, ParamType
from havok.typed import Finding, Path, shown

PATTERN_CHARS_MAX = 1000  # a longer one is a table; it belongs in a dataset

_WORDS: dict[ParamType, str] = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "date": "a date, as 2013-01-31",
    "timestamp": "a timestamp, as 2013-01-31T05:00:00Z",
}


def check_rules(path: Path, rules: ParamSettings) -> Iterator[Finding]:
    """What is wrong with the rules that stand at `path`."""
    if rules.type == "float":
        yield Finding((*path, "type"), "a key column is never a float; name the column's own type")
        return
    values: dict[Path, Any] = {(*path, key): getattr(rules, key) for key in ("default", "min", "max")}
    values |= {(*path, "enum", position): value for position, value in enumerate(rules.enum)}
    values = {key: value for key, value in values.items() if value is not None}
    kind = rules.type or _kind_of(next(iter(values.values()), None))
    about = (*values, *((*path, key) for key in ("type", "pattern", "enum")))
    sound = True
    forms: dict[Path, Any] = {}
    for key, value in values.items():
        try:
            forms[key] = _form(kind, value)
        except ValueError:
            sound = False
            yield Finding(key, f"expected {_WORDS[kind]}, got {shown(value)}", about)
    if kind == "bool" and (rules.min is not None or rules.max is not None):
        sound = False
        yield Finding(path, "min and max mean nothing for true and false; remove them", about)
    if rules.pattern is not None and kind != "string":
        sound = False
        yield Finding((*path, "pattern"), f"a pattern is for strings; this parameter is {_WORDS[kind]}", about)
    pattern = _compile(rules.pattern)
    if isinstance(pattern, str):
        sound = False
        yield Finding((*path, "pattern"), pattern)
    if sound:
        yield from _limits(path, values, forms, about)
        default = (*path, "default")
        if pattern is not None and default in forms and cast(re.Pattern[str], pattern).search(forms[default]) is None:
            yield Finding(default, f"the default ({rules.default}) does not match the pattern", about)


def _limits(path: Path, values: dict[Path, Any], forms: dict[Path, Any], about: tuple[Path, ...]) -> Iterator[Finding]:
    """Order of min and max, and whether default and enum lie between; all of one kind here."""
    low, high, default = (*path, "min"), (*path, "max"), (*path, "default")
    if low in forms and high in forms and forms[low] > forms[high]:
        yield Finding(low, f"min ({values[low]}) must not be above max ({values[high]})", about)
        return
    for key, form in forms.items():
        if low in forms and form < forms[low]:
            yield Finding(key, f"{values[key]} is below min ({values[low]})", about)
        if high in forms and form > forms[high]:
            yield Finding(key, f"{values[key]} is above max ({values[high]})", about)
    enum = [form for key, form in forms.items() if isinstance(key[-1], int)]
    if enum and default in forms and forms[default] not in enum:
        yield Finding(default, f"the default ({values[default]}) is not in enum", about)


def _kind_of(value: object) -> ParamType:
    """What an undeclared parameter is taken for, by the first value its rules give."""
    if isinstance(value, bool):
        return "bool"
    return "int" if isinstance(value, (int, float)) else "string"


def _form(kind: ParamType, value: object) -> str | int:
    """A value in a form that compares. Raises ValueError when it is not of that kind."""
    if isinstance(value, bool) != (kind == "bool") or isinstance(value, int) != (kind in ("int", "bool")):
        raise ValueError
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        raise ValueError
    if kind == "date":
        return parse_date(value)
    return parse_timestamp(value) if kind == "timestamp" else value


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
