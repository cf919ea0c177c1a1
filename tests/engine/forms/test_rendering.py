"""What holds of every form: pieces join to the same body however rows are cut."""

import json
import random

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forms.rendering import FORMS, Renderings
from tests.engine.typed_rows import Table, body, split

TABLE = Table(random.Random(20261123), 40)
MEDIA = {
    "application/json": "application/json",
    "application/msgpack": "application/msgpack",
    "text/csv": "text/csv; charset=utf-8; header=present",
    "application/vnd.apache.arrow.stream": "application/vnd.apache.arrow.stream",
}


def read(media: str, content: bytes) -> object:
    if "arrow" not in media:
        return content
    table = pa.ipc.open_stream(content).read_all()
    table.validate(full=True)
    return table.combine_chunks()


def test_forms_in_order_of_preference() -> None:
    assert list(FORMS) == list(MEDIA)
    assert {media: TABLE.forms.begin(media).media for media in FORMS} == MEDIA


@pytest.mark.parametrize("media", MEDIA)
@given(st.lists(st.integers(0, 40), max_size=8), st.booleans())
def test_cuts_leave_no_trace(media: str, cuts: list[int], is_typed: bool) -> None:
    rows, same = (TABLE.typed(), TABLE.typed()) if is_typed else (TABLE.stored(), TABLE.stored())
    assert read(media, body(TABLE.forms, media, split(rows, cuts))) == read(media, body(TABLE.forms, media, [same]))


@pytest.mark.parametrize("media", MEDIA)
def test_python_values_render_as_stored_ones(media: str) -> None:
    typed, stored = TABLE.typed(), TABLE.stored()
    mixed = [
        random.Random(number).choice(pair)
        for number, pair in enumerate(zip(TABLE.typed(), TABLE.stored(), strict=True))
    ]
    bodies = [read(media, body(TABLE.forms, media, [rows])) for rows in (typed, stored, mixed)]
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_form_is_prepared_once() -> None:
    forms = Renderings(TABLE.answer)
    bodies = {media: [body(forms, media, [TABLE.stored()]) for _ in range(2)] for media in FORMS}
    assert all(first == second for first, second in bodies.values())


def test_two_responses_at_once_do_not_mix() -> None:
    for media in FORMS:
        first, second = TABLE.forms.begin(media), TABLE.forms.begin(media)
        pieces: tuple[list[bytes], list[bytes]] = ([first.start()], [second.start()])
        for row in range(5):
            pieces[0].append(first.rows(TABLE.stored()[row : row + 1]))
            pieces[1].append(second.rows(TABLE.stored()[:1]))
        pieces[0].append(first.end(None))
        assert read(media, b"".join(pieces[0])) == read(media, body(TABLE.forms, media, [TABLE.stored()[:5]]))


def test_json_and_messagepack_say_the_same() -> None:
    types = {
        column.name
        for column in TABLE.columns
        if column.type.startswith(("DECIMAL", "BLOB", "STRUCT", "HUGEINT", "JSON"))
    }
    end = {"meta": True, "cursor": "next"}
    plain = json.loads(body(TABLE.forms, "application/json", [TABLE.stored()], **end))
    packed = msgspec.msgpack.decode(body(TABLE.forms, "application/msgpack", [TABLE.stored()], **end))
    assert list(plain) == list(packed) == ["data", "meta", "next"]
    assert (plain["meta"], plain["next"]) == (packed["meta"], packed["next"])
    for row, same in zip(plain["data"], packed["data"], strict=True):
        assert list(row) == list(same)
        assert [value for name, value in row.items() if name not in types] == [
            value for name, value in same.items() if name not in types
        ]
