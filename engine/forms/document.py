"""Answers as one document: `{"data": [row, …], "meta"?: …, "next"?: cursor}`, in JSON and MessagePack.

Rule: both say the same. JSON comes in pieces as its rows do. MessagePack cannot: a list has
its length at its head, so its rows are kept, encoded, until all are there, and there is a
bound on how much that may be. Its types are those of `engine.forms.transcode`.
"""

import struct
from typing import Any

import msgspec

from engine.forms.answer import Answer
from engine.forms.media import JSON, MSGPACK
from engine.forms.transcode import rows_to_msgpack
from havok.errors import AnswerTooLarge

KEPT_BYTES_MAX = 16 << 20  # some 100,000 rows; a compartment's memory is shared by all its requests

_pack = msgspec.msgpack.Encoder().encode


class JsonDocuments:
    """The JSON of one query's answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.meta = b',"meta":' + msgspec.json.encode(answer.meta())

    def begin(self, meta: bool) -> "JsonDocument":
        return JsonDocument(self, meta)


class JsonDocument:
    media = JSON

    def __init__(self, made_by: JsonDocuments, meta: bool) -> None:
        self._encode = made_by.answer.json
        self._meta = made_by.meta if meta else b""
        self._has_rows = False

    def start(self) -> bytes:
        return b'{"data":['

    def rows(self, rows: list[Any]) -> bytes:
        if not rows:
            return b""
        piece = self._encode(rows)[1:-1]
        if self._has_rows:
            return b"," + piece
        self._has_rows = True
        return piece

    def end(self, cursor: str | None) -> bytes:
        following = b"" if cursor is None else b',"next":' + msgspec.json.encode(cursor)
        return b"]%b%b}" % (self._meta, following)


class MsgpackDocuments:
    """The MessagePack of one query's answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.transcode = rows_to_msgpack(answer.columns)
        self.meta = _pack("meta") + _pack(answer.meta())

    def begin(self, meta: bool) -> "MsgpackDocument":
        return MsgpackDocument(self, meta)


class MsgpackDocument:
    media = MSGPACK

    def __init__(self, made_by: MsgpackDocuments, meta: bool) -> None:
        self._encode = made_by.answer.json
        self._transcode = made_by.transcode
        self._meta = made_by.meta if meta else b""
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._count = 0

    def start(self) -> bytes:
        return b""

    def rows(self, rows: list[Any]) -> bytes:
        """Nothing yet. Raises AnswerTooLarge."""
        if rows:
            piece = self._transcode(self._encode(rows))
            self._kept_bytes += len(piece)
            if self._kept_bytes > KEPT_BYTES_MAX:
                raise AnswerTooLarge(
                    f"the answer takes more than {KEPT_BYTES_MAX >> 20} MiB as MessagePack; "
                    "ask for less, or as JSON, CSV or an Arrow stream, which come in pieces"
                )
            self._kept.append(piece)
            self._count += len(rows)
        return b""

    def end(self, cursor: str | None) -> bytes:
        following = b"" if cursor is None else _pack("next") + _pack(cursor)
        members = 1 + bool(self._meta) + bool(following)
        head = bytes([0x80 | members]) + _pack("data") + b"\xdd" + struct.pack(">I", self._count)
        return b"".join([head, *self._kept, self._meta, following])
