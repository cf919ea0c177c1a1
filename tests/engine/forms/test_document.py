"""The document in both encodings: its members, its types, its bound."""

import base64
import random
from decimal import Decimal

import msgspec
import pytest

from engine.forms.document import KEPT_BYTES_MAX
from engine.forms.media import JSON, MSGPACK
from havok.errors import AnswerTooLarge
from tests.engine.typed_rows import Table, answer_of, body

META = {"columns": [{"name": 'a"', "type": "BIGINT"}]}


@pytest.mark.parametrize("media", [JSON, MSGPACK])
@pytest.mark.parametrize("meta", [False, True])
@pytest.mark.parametrize("cursor", [None, "", 'a"ж'])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_members(media: str, meta: bool, cursor: str | None, rows: int) -> None:
    answer, forms = answer_of(('a"', "BIGINT"))
    content = body(forms, media, [[answer.row(number)] for number in range(rows)], meta=meta, cursor=cursor)
    expected = {"data": [{'a"': number} for number in range(rows)]}
    expected |= {"meta": META} if meta else {}
    expected |= {} if cursor is None else {"next": cursor}
    found = msgspec.json.decode(content) if media == JSON else msgspec.msgpack.decode(content)
    assert (found, list(found)) == (expected, list(expected))


def test_an_empty_answer() -> None:
    _, forms = answer_of(("a", "BIGINT"))
    assert body(forms, JSON, []) == body(forms, JSON, [[], []]) == b'{"data":[]}'
    assert msgspec.msgpack.decode(body(forms, MSGPACK, [[]])) == {"data": []}


def test_json_comes_as_rows_do() -> None:
    answer, forms = answer_of(("a", "BIGINT"))
    rendering = forms.begin(JSON)
    assert rendering.start() == b'{"data":['
    assert rendering.rows([answer.row(1)]) == b'{"a":1}'
    assert rendering.rows([]) == b""
    assert rendering.rows([answer.row(None)]) == b',{"a":null}'
    assert rendering.end("c") == b'],"next":"c"}'


def test_messagepack_equals_duckdb(dice: random.Random) -> None:
    table = Table(dice, 60)
    found = msgspec.msgpack.decode(body(table.forms, MSGPACK, [table.typed()]))["data"]
    for column in table.columns:
        for value, shown in zip([row[column.name] for row in found], table.shown(column), strict=True):
            if shown == "null":
                assert value is None
            elif column.type.startswith("DECIMAL"):
                assert value == shown
            elif column.type == "BLOB":
                assert value == base64.b64decode(msgspec.json.decode(shown))
            elif column.type == "HUGEINT":
                number = int(shown)
                assert value == (number if -(2**63) <= number < 2**64 else shown)
            elif column.type not in ("JSON",) and not column.type.startswith("STRUCT"):
                assert value == msgspec.json.decode(shown)


def test_types_within_types() -> None:
    answer, forms = answer_of(("s", "STRUCT(a DECIMAL(9,3))"), ("j", "JSON"), ("h", "HUGEINT"))
    row = answer.row(msgspec.Raw(b'{"a":1.500}'), msgspec.Raw(b"[340282366920938463463374607431768211455]"), -(2**127))
    assert msgspec.msgpack.decode(body(forms, MSGPACK, [[row]]))["data"] == [
        {"s": {"a": "1.500"}, "j": ["340282366920938463463374607431768211455"], "h": str(-(2**127))}
    ]


def test_messagepack_has_a_bound() -> None:
    answer, forms = answer_of(("text", "VARCHAR"))
    rendering = forms.begin(MSGPACK)
    megabyte = msgspec.Raw(msgspec.json.encode("x" * (1 << 20)))
    for _ in range(KEPT_BYTES_MAX // (1 << 20) - 1):
        rendering.rows([answer.row(megabyte)])
    said = "16 MiB as MessagePack; ask for less, or as JSON, CSV or an Arrow stream, which come in pieces"
    with pytest.raises(AnswerTooLarge, match=said):
        rendering.rows([answer.row(megabyte)])


@pytest.mark.parametrize("count", [15, 16, 65535, 65536])
def test_any_number_of_rows(count: int) -> None:
    answer, forms = answer_of(("d", "DECIMAL(3,1)"))
    rows = [answer.row(Decimal("1.5"))] * count
    assert msgspec.msgpack.decode(body(forms, MSGPACK, [rows, rows[:1]]))["data"] == [{"d": "1.5"}] * (count + 1)
