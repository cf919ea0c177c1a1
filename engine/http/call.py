"""A call of a service: its parameters as they came, before any of them is bound.

Rule: every way in (query string, JSON or MessagePack body) ends in one mapping from names to
values. What a body may be is decided here; what a parameter may be is `engine.params`'.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.forms.media import MSGPACK
from engine.http.head import Head
from engine.param_values import number
from engine.params import parse_query
from engine.program import Program
from havok.errors import BadParam, BadRequest
from havok.settings import RESERVED_PARAMS

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_value = msgspec.json.Decoder(float_hook=number).decode


class Call:
    """A call of a SQL service. `texts`: the values came in a query string."""

    __slots__ = ("cursor", "media", "meta", "texts", "values")

    def __init__(self, values: dict[str, Any], media: str, *, texts: bool) -> None:
        """Takes the parameters out of `values` that every SQL service has. Raises BadParam."""
        cursor, meta = values.pop("cursor", None), values.pop("meta", None)
        if cursor is not None and not isinstance(cursor, str):
            raise BadParam("cursor", "type", "cursor must be a string: the next of an earlier answer")
        if not isinstance(meta, str | int | None) or meta not in _META:
            raise BadParam("meta", "type", "meta must be 1 (columns and types are told) or 0")
        self.values: Mapping[str, Any] = values
        self.cursor: str | None = cursor
        self.meta = _META[meta]
        self.media = media
        self.texts = texts


RESERVED = RESERVED_PARAMS
_META: dict[Any, bool] = {None: False, "0": False, "false": False, "1": True, "true": True, 0: False, 1: True}


def read_call(request: Head, content: bytes, media: str) -> Call:
    """Raises BadParam, BadRequest."""
    if request.method == b"POST":
        return Call(read_object(request, content), media, texts=False)
    return Call(dict(parse_query(request.query)), media, texts=True)


def read_object(request: Head, content: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises BadRequest."""
    _check(request, content)
    try:
        fields = _decode_object(_json_of(content) if request.block.content_type == MSGPACK else content)
        return {name: _decode_value(raw) for name, raw in fields.items()}
    except _MALFORMED as error:
        raise _refusal(error, request, "") from None


def post(program: Program, request: Head, content: bytes) -> bytes | None:
    """The data of a POST to a key-value service: a batch when the object has `keys`, else one row.

    Raises BadParam, BadRequest.
    """
    _check(request, content)
    try:
        fields = _decode_object(_json_of(content) if request.block.content_type == MSGPACK else content)
        keys = fields.pop("keys", None)
        if keys is None:
            return program.bind_object({name: _decode_value(raw) for name, raw in fields.items()})
        if fields:
            unknown = next(iter(fields))
            raise BadParam(unknown, "unknown", f"a batch has only keys; {unknown!r} does not belong")
        return program.bind_batch(keys)
    except _MALFORMED as error:
        raise _refusal(error, request, ', or {"keys": [...]}') from None


def _check(request: Head, content: bytes) -> None:
    """A body is there, and all that is sent. Raises BadRequest."""
    if request.query:
        raise BadRequest("a POST has its parameters in the body, not in the URL: send all of them in one place")
    if not content:
        raise BadRequest("the body is empty: send a JSON object")


def _refusal(error: Exception, request: Head, besides: str) -> BadRequest:
    """`besides`: what else than parameters may be sent."""
    if isinstance(error, msgspec.ValidationError):
        return BadRequest(f"the body must be a JSON object of parameters{besides}")
    return BadRequest(f"the body is not valid {request.block.content_type}: {str(error)[:120]}")


class _NotJsonLike(Exception):
    """MessagePack that has no JSON: extension types, maps with keys that are no words."""


def _json_of(content: bytes) -> bytes:
    """A MessagePack body as JSON, so that there is one way to bind parameters."""
    value = msgspec.msgpack.decode(content)
    try:
        return msgspec.json.encode(value)
    except TypeError as error:
        raise _NotJsonLike(str(error)) from None


_MALFORMED = (
    msgspec.DecodeError,
    UnicodeDecodeError,
    RecursionError,
    _NotJsonLike,
)
