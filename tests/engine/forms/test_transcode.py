"""MessagePack equals JSON, with the types JSON lacks."""

import base64
import decimal
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.column import OutputColumn
from engine.forms.transcode import to_msgpack

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=5)


def transcoded(body: bytes, *columns: tuple[str, str]) -> object:
    value = msgspec.msgpack.decode(to_msgpack([OutputColumn(*column) for column in columns])(body))
    assert list(value) == ["data"]
    return value["data"]


def test_each_type() -> None:
    columns = (
        ("i", "BIGINT"),
        ("u", "UBIGINT"),
        ("f", "DOUBLE"),
        ("s", "VARCHAR"),
        ("b", "BOOLEAN"),
        ("n", "VARCHAR"),
        ("d", "DATE"),
        ("t", "TIMESTAMP WITH TIME ZONE"),
        ("m", "DECIMAL(18,4)"),
        ("w", "DECIMAL(38,0)"),
        ("x", "BLOB"),
        ("j", "JSON"),
    )
    body = (
        b'{"data":{"i":-5,"u":18446744073709551615,"f":1.5,"s":"\xc3\xa4\\u0000","b":true,"n":null,"d":"2013-01-31",'
        b'"t":"2013-01-31T05:00:00Z","m":10.5000,"w":12345678901234567890123456789012345678,"x":"AAH/",'
        b'"j":{"big":340282366920938463463374607431768211455,"list":[1,null,1e400,1.5]}}}'
    )
    assert transcoded(body, *columns) == {
        "i": -5,
        "u": 18446744073709551615,
        "f": 1.5,
        "s": "ä\x00",
        "b": True,
        "n": None,
        "d": "2013-01-31",
        "t": "2013-01-31T05:00:00Z",
        "m": "10.5000",
        "w": "12345678901234567890123456789012345678",
        "x": b"\x00\x01\xff",
        "j": {"big": "340282366920938463463374607431768211455", "list": [1, None, "1e400", 1.5]},
    }


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("DECIMAL(10,2)[]", b"[1.10,null]", ["1.10", None]),
        ("DECIMAL(18,12)", b"0.000000000000", "0.000000000000"),
        ("STRUCT(a DECIMAL(38,9))[]", b'[{"a":0.000000010}]', [{"a": "0.000000010"}]),
        ("DECIMAL(10,2)[3]", b"[1.10]", ["1.10"]),
        ("DECIMAL(10,2)[][]", b"[[1.10],null]", [["1.10"], None]),
        ("BLOB[]", b'["eHl6",null]', [b"xyz", None]),
        ("STRUCT(a DECIMAL(10,2), b BIGINT)", b'{"a":1.10,"b":2}', {"a": "1.10", "b": 2}),
        ("STRUCT(a DECIMAL(10,2), b BIGINT)", b"null", None),
        (
            'STRUCT("a (,) ""x""" DECIMAL(3,1), t TIMESTAMP WITH TIME ZONE, l BLOB[])[]',
            b'[{"a (,) \\"x\\"":1.0,"t":"x","l":["eHl6"]}]',
            [{'a (,) "x"': "1.0", "t": "x", "l": [b"xyz"]}],
        ),
        ("MAP(VARCHAR, DECIMAL(4,1))", b'{"k":1.0}', {"k": "1.0"}),
        ("MAP(BIGINT, STRUCT(d DECIMAL(4,1))[])", b'{"1":[{"d":1.0}]}', {"1": [{"d": "1.0"}]}),
        ("WHATEVER(NEXT, 3)", b'[{"a":1}]', [{"a": 1}]),
        ("STRUCT(", b"1.5", 1.5),
        ("", b"1.5", 1.5),
    ],
)
def test_nested_types(kind: str, value: bytes, expected: object) -> None:
    assert transcoded(b'{"data":{"v":%b}}' % value, ("v", kind)) == {"v": expected}
    assert transcoded(b'{"data":[{"v":%b},null]}' % value, ("v", kind)) == [{"v": expected}, None]


@pytest.mark.parametrize("name", ['"', "\\", "\n", "naïve", "class", "", "a b"])
def test_names_that_are_no_names(name: str) -> None:
    body = msgspec.json.encode({"data": {name: "eHl6", "other": 1}})
    assert transcoded(body, (name, "BLOB"), ("other", "BIGINT")) == {name: b"xyz", "other": 1}


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {
                    "i": st.integers(-(2**63), 2**64 - 1),
                    "f": st.floats(allow_nan=False, allow_infinity=False),
                    "s": st.text(),
                    "x": st.binary(),
                    "m": DECIMALS,
                    "l": st.lists(st.one_of(st.none(), st.text())),
                }
            ),
        ),
        max_size=5,
    )
)
def test_equals_json(rows: list[dict[str, object] | None]) -> None:
    columns = (
        ("i", "BIGINT"),
        ("f", "DOUBLE"),
        ("s", "VARCHAR"),
        ("x", "BLOB"),
        ("m", "DECIMAL(38,5)"),
        ("l", "VARCHAR[]"),
    )
    encoder = msgspec.json.Encoder(decimal_format="number")
    body = b'{"data":%b}' % encoder.encode(rows)
    expected = []
    for row in json.loads(body, parse_float=decimal.Decimal)["data"]:
        if row is not None:
            row["m"] = str(row["m"])
            row["f"] = float(row["f"])
            row["x"] = base64.b64decode(row["x"])
        expected.append(row)
    assert transcoded(body, *columns) == expected
