"""The JSON of an answer → MessagePack.

Rule: types follow the columns, because JSON has fewer: blobs become binary, DECIMAL becomes
a string with all its digits, in lists, structs and maps too; the rest is as in JSON. What
MessagePack cannot hold (an integer beyond 64 bits or a number beyond a double, as a column
of type JSON may have them) becomes a string as well.
"""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypedDict

import msgspec

from engine.column import OutputColumn
from engine.sqltype import PLAIN_SCALE_MAX
from havok.keys import INT_MIN, UINT_MAX

_TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|[^\s"(),\[\]]+|[(),]|\[\d*\])')
_SCALE = re.compile(r"DECIMAL\(\d+,\s*(\d+)\)")
_HEAD_BYTES = {0xDC: 3, 0xDD: 5}  # of an array's length; one that is shorter stands in the first byte


def to_msgpack(columns: Sequence[OutputColumn]) -> Callable[[bytes], bytes]:
    """`{"data": row | null | [row | null, …]}` as JSON bytes → the same as MessagePack."""
    row = _row(columns)
    answer = msgspec.defstruct("Answer", [("data", row | None | list[row | None])])  # type: ignore[valid-type]
    return _transcoder(answer, columns)


def rows_to_msgpack(columns: Sequence[OutputColumn]) -> Callable[[bytes], bytes]:
    """`[row, …]` as JSON bytes → the rows as MessagePack, one after another, with no head."""
    transcode = _transcoder(list[_row(columns)], columns)  # type: ignore[misc]

    def transcode_rows(body: bytes) -> bytes:
        packed = transcode(body)
        return packed[_HEAD_BYTES.get(packed[0], 1) :]

    return transcode_rows


def _row(columns: Sequence[OutputColumn]) -> Any:
    return _struct("Row", [(column.name, field_type(column.type)) for column in columns])


def _transcoder(kind: Any, columns: Sequence[OutputColumn]) -> Callable[[bytes], bytes]:
    is_plain = all(int(scale) <= PLAIN_SCALE_MAX for column in columns for scale in _SCALE.findall(column.type))
    decode = msgspec.json.Decoder(kind).decode
    decode_any_number = msgspec.json.Decoder(kind, float_hook=_finite).decode
    encode = msgspec.msgpack.Encoder().encode

    def transcode(body: bytes) -> bytes:
        try:
            value = decode(body)
        except msgspec.ValidationError:
            value = decode_any_number(body)
        if is_plain:
            try:
                return encode(value)
            except OverflowError:
                pass
        return encode(_bounded(msgspec.to_builtins(value, builtin_types=(bytes, Decimal))))

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


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _bounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, int) and not INT_MIN <= value <= UINT_MAX:
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value
