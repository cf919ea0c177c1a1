"""CSV is read back by Python's csv and by DuckDB as what it was made of."""

import csv
import io
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forms.media import CSV
from tests.engine.typed_rows import OPAQUE, TYPES, Table, answer_of, body, written


def read(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


def test_the_text() -> None:
    answer, forms = answer_of(("a,b", "VARCHAR"), ("n", "BIGINT"), ("", "JSON"))
    rows = [
        answer.row("", None, msgspec.Raw(b'{"x": "y"}')),
        answer.row(None, 5, msgspec.Raw(b"null")),
        answer.row(msgspec.Raw(b'"\\u00e4\\n\\"q\\""'), msgspec.Raw(b"null"), None),
        answer.row("null", msgspec.Raw(b"7"), msgspec.Raw(b"[1]")),
    ]
    assert body(forms, CSV, [rows], cursor="c", meta=True).decode() == (
        '"a,b",n,""\r\n""' + ',,"{""x"": ""y""}"\r\n,5,\r\n"ä\n""q""",,\r\nnull,7,[1]\r\n'
    )


@given(st.lists(st.tuples(st.text() | st.none(), st.booleans() | st.none(), st.text() | st.none()), max_size=20))
def test_python_reads_it_back(rows: list[tuple[str | None, bool | None, str | None]]) -> None:
    answer, forms = answer_of(("a", "VARCHAR"), ("b", "BOOLEAN"), ('"', "VARCHAR"))
    names = {None: "", True: "true", False: "false"}
    expected = [["a", "b", '"'], *([first or "", names[flag], last or ""] for first, flag, last in rows)]
    raw = [answer.row(*[msgspec.Raw(msgspec.json.encode(value)) for value in row]) for row in rows]
    assert read(body(forms, CSV, [[answer.row(*row) for row in rows]])) == expected
    assert read(body(forms, CSV, [raw])) == expected


@pytest.mark.parametrize("form", ["stored", "typed"])
def test_duckdb_reads_it_back(dice: random.Random, tmp_path: Path, form: str) -> None:
    table = Table(dice, 60)
    file = written(tmp_path, body(table.forms, CSV, [getattr(table, form)()]))
    texts = ("blob", *OPAQUE)
    kinds = {name: "VARCHAR" if name in texts else column.type for name, column in TYPES.items()}
    options = "auto_detect=false, header=true, delim=',', quote='\"', escape='\"', nullstr='', allow_quoted_nulls=false"
    read_back = f"SELECT * FROM read_csv('{file}', {options}, columns={kinds!r})"
    found = table.db.execute(read_back).fetchall()
    expected = table.db.execute(f"SELECT * REPLACE (to_base64(blob) AS blob) FROM ({table.finite()})").fetchall()
    assert len(found) == len(expected)
    for number, column in enumerate(table.columns):
        mine = [row[number] for row in found]
        if column.name in OPAQUE:
            assert mine == [None if text == "null" else text for text in table.shown(column)]
        else:
            assert mine == [row[number] for row in expected], column


def test_decimals_and_moments_look_as_in_json(dice: random.Random) -> None:
    table = Table(dice, 60)
    found = read(body(table.forms, CSV, [table.typed()]))[1:]
    for number, column in enumerate(table.columns):
        if column.name not in ("text", "blob", *OPAQUE):
            shown = ["" if text == "null" else text.strip('"') for text in table.shown(column)]
            assert [row[number] for row in found] == shown


def test_one_column_that_is_null_is_an_empty_line() -> None:
    answer, forms = answer_of(("a", "VARCHAR"))
    assert body(forms, CSV, [[answer.row(None), answer.row("")]]) == b'a\r\n\r\n""\r\n'
    assert body(forms, CSV, []) == b"a\r\n"
