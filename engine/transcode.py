"""The JSON of an answer → MessagePack.

Rule: types follow the columns, because JSON has fewer: blobs become binary, DECIMAL becomes
a string with all its digits, in lists, structs and maps too; the rest is as in JSON. What
MessagePack cannot hold (an integer beyond 64 bits, as a column of type JSON may have one)
becomes a string as well.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypedDict

import msgspec

from engine.plan import OutputColumn
from havok.keys import INT_MIN, UINT_MAX

_TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|[^\s"(),\[\]]+|[(),]|\[\d*\])')


def to_msgpack(columns: Sequence[OutputColumn]) -> Callable[[bytes], bytes]:
    """`{"data": row | null | [row | null, …]}` as JSON bytes → the same as MessagePack."""
    row = _struct("Row", [(column.name, field_type(column.type)) for column in columns])
    answer = msgspec.defstruct("Answer", [("data", row | None | list[row | None])])  # type: ignore[valid-type]
    decode = msgspec.json.Decoder(answer).decode
    encode = msgspec.msgpack.Encoder().encode

    def transcode(body: bytes) -> bytes:
        value = decode(body)
        try:
            return encode(value)
        except OverflowError:
            return encode(_bounded(msgspec.to_builtins(value, builtin_types=(bytes,))))

    return transcode


def field_type(column_type: str) -> Any:
    """A DuckDB type as a manifest names it → the type its JSON is decoded as."""
    tokens = _TOKEN.findall(column_type)
    try:
        found, rest = _type(tokens)
    except (IndexError, ValueError):
        return Any  # a type this version does not know: as in JSON
    return Any if rest else found


def _type(tokens: list[str]) -> tuple[Any, list[str]]:
    """The type that `tokens` begin with, and the tokens after it."""
    word, rest = tokens[0].upper(), tokens[1:]
    arguments: list[list[str]] = []
    if rest[:1] == ["("]:
        arguments, rest = _arguments(rest[1:])
    while rest and rest[0] not in (",", ")") and not rest[0].startswith("["):
        rest = rest[1:]  # TIMESTAMP WITH TIME ZONE
    found: Any = Any
    if word == "DECIMAL":
        found = Decimal | None
    elif word == "BLOB":
        found = bytes | None
    elif word == "STRUCT":
        fields = [(_unquoted(argument[0]), _whole(argument[1:])) for argument in arguments]
        found = _struct("Struct", fields) | None
    elif word == "MAP":
        found = dict[str, _whole(arguments[1])] | None  # type: ignore[misc]
    while rest and rest[0].startswith("["):
        found, rest = list[found] | None, rest[1:]
    return found, rest


def _whole(tokens: list[str]) -> Any:
    found, rest = _type(tokens)
    if rest:
        raise ValueError
    return found


def _arguments(tokens: list[str]) -> tuple[list[list[str]], list[str]]:
    """The tokens between brackets, by commas, and those after the closing one."""
    arguments: list[list[str]] = [[]]
    depth = 0
    for position, token in enumerate(tokens):
        if token == ")" and depth == 0:
            return arguments, tokens[position + 1 :]
        if token == "," and depth == 0:
            arguments.append([])
            continue
        depth += {"(": 1, ")": -1}.get(token, 0)
        arguments[-1].append(token)
    raise ValueError("a bracket is not closed")


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _struct(name: str, fields: Sequence[tuple[str, Any]]) -> Any:
    return record(name, fields) or TypedDict(name, dict(fields))  # type: ignore[operator]


def record(name: str, fields: Sequence[tuple[str, Any]]) -> type[msgspec.Struct] | None:
    """A struct with these fields; None when msgspec cannot name one so (a quote in it, say)."""
    try:
        return msgspec.defstruct(
            name,
            [(f"f{number}", kind, msgspec.field(name=label)) for number, (label, kind) in enumerate(fields)],
        )
    except ValueError:
        return None


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, int) and not INT_MIN <= value <= UINT_MAX:
        return str(value)
    return value
