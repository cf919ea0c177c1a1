"""Answers as CSV, as RFC 4180 has it.

Rule: a header line of the columns' names, lines that end in CRLF, quotes only where they are
needed. NULL is an empty field and the empty text is `""`, which Python's `csv` cannot write
before 3.12. Numbers, booleans, dates and moments are as in the JSON of the answer; a text is
itself, a BLOB its base64, and a list, struct, map or JSON column its JSON. A column alone
that is NULL is an empty line, as databases write it.

There is no place for a cursor: it belongs into a header of the response.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from engine.forms.answer import Answer, encode_json, json_texts, shown, value_decoder
from engine.forms.media import CONTENT_TYPES, CSV
from engine.sqltype import family

_needs_quotes = re.compile('[",\r\n]').search


class CsvTables:
    """The CSV of one query's answers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.columns = [_column(column.type) for column in answer.columns]
        self.head = ",".join(_fields([column.name for column in answer.columns])).encode() + b"\r\n"

    def begin(self, meta: bool) -> "CsvTable":
        """`meta` changes nothing: the header line says what CSV can."""
        return CsvTable(self)


class CsvTable:
    media = CONTENT_TYPES[CSV]

    def __init__(self, made_by: CsvTables) -> None:
        self._made_by = made_by

    def start(self) -> bytes:
        return self._made_by.head

    def rows(self, rows: list[Any]) -> bytes:
        if not rows:
            return b""
        values = self._made_by.answer.by_column(rows)
        columns = [fields(column) for fields, column in zip(self._made_by.columns, values, strict=True)]
        lines = map(",".join, zip(*columns, strict=True))
        return ("\r\n".join(lines) + "\r\n").encode()

    def end(self, cursor: str | None) -> bytes:
        return b""


def _column(kind: str) -> Callable[[list[Any]], list[str]]:
    """Values of a column of this type → its fields."""
    found = family(kind)
    if found == "string" or kind == "BLOB":
        decode = value_decoder(str)
        return lambda values: _fields(decode(values))
    if found == "opaque":
        return lambda values: _fields(json_texts(values))
    show = shown(kind)
    if show is None:
        return _split
    return lambda values: _split(
        [value if value is None or type(value) is msgspec.Raw else show(value) for value in values]
    )


def _split(values: list[Any]) -> list[str]:
    """Of values whose JSON has no comma and nothing to escape: numbers, booleans, dates, moments."""
    return encode_json(values)[1:-1].decode().replace("null", "").replace('"', "").split(",")


def _fields(texts: list[str | None]) -> list[str]:
    return ["" if text is None else text if text and not _needs_quotes(text) else _quoted(text) for text in texts]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
