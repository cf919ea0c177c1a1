"""From a table of plain values to a settings struct, collecting every fault on the way.

Rule: conversion never stops and never raises. What is wrong becomes a `Finding` and a
stand-in of the right type takes its place, so that one run finds everything there is to
find. Where a value stands in which file is the caller's business; this module knows
only paths such as ("services", "airport", "fields", 2).
"""

import datetime
import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from havok.keys import INT_MAX, INT_MIN

Path = tuple[str | int, ...]
T = TypeVar("T", bound=msgspec.Struct)

SHOWN_CHARS_MAX = 60  # of an offending value in a sentence
FIELDS_NAMED_MAX = 6  # in "expected a table of …"

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLURALS: dict[type[inspect.Type], str] = {
    inspect.StrType: "strings",
    inspect.IntType: "integers",
    inspect.FloatType: "numbers",
    inspect.UnionType: "strings or numbers",
}


class Finding(msgspec.Struct, frozen=True):
    """Something wrong at `path`; not worth telling when a path in `about` is wrong itself."""

    path: Path
    reason: str
    about: tuple[Path, ...] = ()


def dotted(path: Path) -> str:
    """("datasets", "a b", "key", 1) → `datasets."a b".key[1]`, as TOML writes it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


def nearest(name: str, known: Collection[str]) -> str | None:
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(name: str, known: Collection[str]) -> str:
    """The reason for refusing a key, with the key that was probably meant."""
    meant = nearest(name, known)
    return f"unknown key; did you mean {meant}?" if meant else f"unknown key; known here: {', '.join(sorted(known))}"


def shown(value: object) -> str:
    """A TOML value as a sentence names it: `the string 'x'`, `the integer 3`."""
    if isinstance(value, bool):
        return f"the boolean {'true' if value else 'false'}"
    if isinstance(value, int):
        return f"the integer {value}" if abs(value) <= INT_MAX else "an integer of more than 64 bits"
    if isinstance(value, float):
        return f"the number {value}"
    if isinstance(value, str):
        text = repr(value[:SHOWN_CHARS_MAX])
        return f"the string {text}{'…' if len(value) > SHOWN_CHARS_MAX else ''}"
    if isinstance(value, (list, tuple)):
        return "an array" if value else "an empty array"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, datetime.datetime):
        return f"the timestamp {value.isoformat()}"
    if isinstance(value, (datetime.date, datetime.time)):
        return f"the {'date' if isinstance(value, datetime.date) else 'time'} {value.isoformat()}"
    return f"a {type(value).__name__}"


def convert(table: object, kind: type[T], path: Path, findings: list[Finding]) -> T:
    """A TOML table → a struct of `kind`; appends what is wrong below `path` to `findings`."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    made = _struct(table, info, path, findings)
    assert isinstance(made, kind)
    return made


class _Bad(Exception):
    """The value as a whole is not what was expected: the stand-in takes its place."""


def _struct(value: object, info: inspect.StructType, path: Path, findings: list[Finding]) -> object:
    if not isinstance(value, Mapping):
        raise _bad(info, value, path, findings)
    fields = {field.encode_name: field for field in info.fields}
    not_yet: frozenset[str] = getattr(info.cls, "not_yet", frozenset())
    given: dict[str, object] = {}
    for name, item in value.items():
        field = fields.get(name)
        if field is not None:
            try:
                given[field.name] = _value(item, field.type, (*path, name), findings)
            except _Bad:
                if field.required:
                    given[field.name] = _stand_in(field.type)
        elif name in not_yet:
            findings.append(Finding((*path, name), f"this version of Havok does not serve {name} yet; remove it"))
        else:
            findings.append(Finding((*path, name), unknown(name, fields)))
    for field in info.fields:
        if field.required and field.name not in given:
            given[field.name] = _stand_in(field.type)
            findings.append(Finding((*path, field.encode_name), f"missing; expected {_expected(field.type)}"))
    return info.cls(**given)


def _value(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    converter = _CONVERTERS[type(info)]
    return converter(value, info, path, findings)


def _string(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    if not isinstance(value, str):
        raise _bad(info, value, path, findings)
    return value


def _integer(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    if not isinstance(value, int) or isinstance(value, bool) or not INT_MIN <= value <= INT_MAX:
        raise _bad(info, value, path, findings)
    return value


def _number(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(info, value, path, findings)
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        raise _bad(info, value, path, findings)
    if not math.isfinite(value):
        raise _bad(info, value, path, findings)
    return float(value)


def _boolean(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    if not isinstance(value, bool):
        raise _bad(info, value, path, findings)
    return value


def _choice(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    assert isinstance(info, inspect.LiteralType)
    if isinstance(value, str) and value in info.values:
        return value
    meant = nearest(value, [str(choice) for choice in info.values]) if isinstance(value, str) else None
    raise _bad(info, value, path, findings, f'; did you mean "{meant}"?' if meant else "")


def _array(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    assert isinstance(info, inspect.VarTupleType)
    if not isinstance(value, (list, tuple)):
        raise _bad(info, value, path, findings)
    items = []
    for position, item in enumerate(value):
        try:
            items.append(_value(item, info.item_type, (*path, position), findings))
        except _Bad:
            continue
    return tuple(items)


def _mapping(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    assert isinstance(info, inspect.DictType)
    if not isinstance(value, Mapping):
        raise _bad(info, value, path, findings)
    items = {}
    for name, item in value.items():
        try:
            items[name] = _value(item, info.value_type, (*path, name), findings)
        except _Bad:
            continue
    return items


def _table(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    assert isinstance(info, inspect.StructType)
    return _struct(value, info, path, findings)


def _union(value: object, info: inspect.Type, path: Path, findings: list[Finding]) -> object:
    """Optional values, and those of a parameter's rules: scalars, where a date is its text, or an array of them."""
    assert isinstance(info, inspect.UnionType)
    choices = [choice for choice in info.types if not isinstance(choice, inspect.NoneType)]
    if len(choices) == 1:
        return _value(value, choices[0], path, findings)
    if isinstance(value, (datetime.date, datetime.datetime)):
        value = value.isoformat()
    for choice in choices:
        if isinstance(choice, inspect.VarTupleType) and isinstance(value, list | tuple):
            return _array(value, choice, path, findings)  # it is one; what is wrong is an item
        try:
            return _value(value, choice, path, [])
        except _Bad:
            continue
    raise _bad(info, value, path, findings)


_CONVERTERS: dict[type[inspect.Type], Callable[[object, Any, Path, list[Finding]], object]] = {
    inspect.StrType: _string,
    inspect.IntType: _integer,
    inspect.FloatType: _number,
    inspect.BoolType: _boolean,
    inspect.LiteralType: _choice,
    inspect.VarTupleType: _array,
    inspect.DictType: _mapping,
    inspect.StructType: _table,
    inspect.UnionType: _union,
}


def _bad(info: inspect.Type, value: object, path: Path, findings: list[Finding], hint: str = "") -> _Bad:
    findings.append(Finding(path, f"expected {_expected(info)}, got {shown(value)}{hint}"))
    return _Bad()


def _expected(info: inspect.Type) -> str:
    if isinstance(info, inspect.StructType):
        names = [field.encode_name for field in info.fields]
        return "a table" if len(names) > FIELDS_NAMED_MAX else f"a table of {', '.join(names)}"
    if isinstance(info, inspect.LiteralType):
        choices = [f'"{choice}"' for choice in info.values]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if isinstance(info, inspect.VarTupleType):
        return f"an array of {_PLURALS[type(info.item_type)]}"
    if isinstance(info, inspect.UnionType):
        choices = [_expected(choice) for choice in info.types if not isinstance(choice, inspect.NoneType)]
        return " or ".join(choices)
    named = {inspect.StrType: "a string", inspect.IntType: "an integer", inspect.BoolType: "true or false"}
    return "a finite number" if isinstance(info, inspect.FloatType) else named.get(type(info), "a table")


def _stand_in(info: inspect.Type) -> object:
    if isinstance(info, inspect.StructType):
        return _struct({}, info, (), [])
    if isinstance(info, inspect.LiteralType):
        return info.values[0]
    if isinstance(info, inspect.UnionType):
        return None
    plain: dict[type[inspect.Type], object] = {
        inspect.StrType: "",
        inspect.IntType: 0,
        inspect.FloatType: 0.0,
        inspect.BoolType: False,
        inspect.VarTupleType: (),
        inspect.DictType: {},
    }
    return plain[type(info)]
