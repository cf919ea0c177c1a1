"""Programs: every key value there can be finds its row, by every way in."""

import datetime
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

import lmdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.program import BATCH_BYTES_MAX, Program, projection
from engine.snapshot import open_snapshot
from havok.errors import BadParam, StoreDown
from havok.keys import (
    INT_MAX,
    INT_MIN,
    KEY_BYTES_MAX,
    UINT_MAX,
    WIDE_MAX,
    WIDE_MIN,
    KeyKind,
    KeyValue,
    encode,
)
from havok.rows import seal
from tests.engine.making import Row, program_of, write_version

STRINGS = ("", "a", "\x00", "\x01", "\x00\x01\x02", "ä", "🛫", "a b+c%&=#?", '"\\/', "x" * 509, "x" * 510, "x" * 65536)
VALUES: dict[KeyKind, Sequence[KeyValue]] = {
    "string": (*STRINGS, "é" * 300, "\x00" * 300, "x" * 65535 + "y"),
    "int": (0, -1, 1, INT_MIN, INT_MAX, 10**17, 10**18 - 1, 10**18),
    "uint": (0, 1, UINT_MAX, 10**18, 10**19 - 1, 10**19),
    "wide": (0, -1, WIDE_MIN, WIDE_MAX, 10**37, 10**38, -(10**38)),
    "bool": (False, True),
    "date": tuple(map(datetime.date.fromisoformat, ("1970-01-01", "0001-01-01", "9999-12-31", "2024-02-29"))),
    "timestamp": tuple(
        datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
        for text in (
            "1970-01-01T00:00:00",
            "0001-01-01T00:00:00",
            "9999-12-31T23:59:59.999999",
            "2013-01-31T05:00:00.5",
        )
    ),
}


def said(value: KeyValue) -> str | int | bool:
    """A key value as a caller writes it in JSON."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def text_of(value: KeyValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(said(value))


def found_by_every_way(program: Program, names: Sequence[str], values: Sequence[KeyValue]) -> list[bytes | None]:
    shown = [said(value) for value in values]
    pairs = list(zip(names, values, strict=True))
    queries = [
        "&".join(f"{quote(name)}={quote(text_of(value), safe='')}" for name, value in pairs),
        "&".join(f"{quote_plus(name)}={quote_plus(text_of(value))}" for name, value in reversed(pairs)),
    ]
    found: list[bytes | None] = []
    for query in map(str.encode, queries):
        found.append(program.bind_query(query))
        fast = program.query(query)
        if fast is not None:
            found.append(fast or None)
    found.append(program.bind_object(dict(zip(names, shown, strict=True))))
    keys = [shown[0]] if len(shown) == 1 else [shown]
    row = program.bind_batch(msgspec.json.encode(keys))[1:-1]
    found.append(None if row == b"null" else row)
    return found


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_of_a_kind_round_trips(tmp_path: Path, kind: KeyKind) -> None:
    rows: list[Row] = [((value,), {"v": number}) for number, value in enumerate(VALUES[kind])]
    program = program_of(open_snapshot(write_version(tmp_path / "v", [("k", kind)], rows, columns=[("v", "BIGINT")])))
    for (value,), row in rows:
        assert set(found_by_every_way(program, ["k"], [value])) == {msgspec.json.encode(row)}
    program.close()


TODAY = datetime.date(2026, 11, 23)
KEYS = {
    "string": st.text(st.characters(codec="utf-8"), max_size=700),
    "int": st.integers(INT_MIN, INT_MAX),
    "uint": st.integers(0, UINT_MAX),
    "wide": st.integers(WIDE_MIN, WIDE_MAX),
    "bool": st.booleans(),
    "date": st.dates(),
    "timestamp": st.datetimes(),
}


@given(st.data())
@settings(max_examples=40)
def test_any_key_round_trips(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    keys = data.draw(st.lists(st.tuples(*(KEYS[kind] for kind in kinds)), min_size=1, max_size=4, unique=True))
    absent = data.draw(st.tuples(*(KEYS[kind] for kind in kinds)).filter(lambda key: key not in keys))
    names = [f"c{number}" for number in range(len(kinds))]
    rows: list[Row] = [(key, {"v": number}) for number, key in enumerate(keys)]
    directory = tmp_path_factory.mktemp("program") / "v"
    snapshot = open_snapshot(
        write_version(directory, list(zip(names, kinds, strict=True)), rows, columns=[("v", "BIGINT")])
    )
    program = program_of(snapshot)
    for key, row in rows:
        assert set(found_by_every_way(program, names, key)) == {msgspec.json.encode(row)}
    assert set(found_by_every_way(program, names, absent)) == {None}
    program.close()
    assert snapshot.closed


@given(
    minutes=st.integers(-23 * 60, 23 * 60),
    naive=st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1)),
)
@settings(max_examples=50)
def test_a_timestamp_is_found_by_any_zone(stamps: Program, minutes: int, naive: datetime.datetime) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    text = naive.replace(tzinfo=datetime.UTC).astimezone(zone).isoformat()
    bound = stamps.binder.from_object({"at": text})
    assert bound == stamps.binder.from_query(quote(f"at={text}", safe="=").encode())
    assert bound == stamps.binder.from_object({"at": naive.isoformat() + "Z"})
    assert bound == stamps.binder.from_object({"at": naive.isoformat(" ")})


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    path = write_version(tmp_path_factory.mktemp("stamps") / "v", [("at", "timestamp")], [])
    program = program_of(open_snapshot(path))
    yield program
    program.close()


FLIGHTS: list[tuple[str, KeyKind]] = [("origin", "string"), ("year", "int"), ("late", "bool")]


@pytest.fixture
def flights(tmp_path: Path) -> Iterator[Program]:
    rows: list[Row] = [(("JFK", 2013, True), {"v": 1}), (("LGA", 2014, False), {"v": 2})]
    program = program_of(
        open_snapshot(write_version(tmp_path / "v", FLIGHTS, rows, columns=[("v", "BIGINT")])), batch_max=4
    )
    yield program
    program.close()


def test_a_batch_keeps_its_order(flights: Program) -> None:
    keys = b'[["LGA",2014,false],["XXX",1,true],["JFK",2013,true],["LGA",2014,false]]'
    assert flights.bind_batch(keys) == b'[{"v":2},null,{"v":1},{"v":2}]'
    assert flights.bind_batch(b"[]") == b"[]"


@pytest.mark.parametrize(
    ("keys", "param", "rule"),
    [
        (b"5", "keys", "type"),
        (b'"x"', "keys", "type"),
        (b"null", "keys", "type"),
        (b"{}", "keys", "type"),
        (b"[5]", "keys[0]", "type"),
        (b'[["JFK",2013,true],"JFK"]', "keys[1]", "type"),
        (b"[null]", "keys[0]", "type"),
        (b'[["JFK",2013]]', "keys[0]", "length"),
        (b'[["JFK",2013,true,1]]', "keys[0]", "length"),
        (b"[[]]", "keys[0]", "length"),
        (b'[["JFK",2013,true],["JFK","2013",true]]', "keys[1].year", "type"),
        (b'[["JFK",2013.0,true]]', "keys[0].year", "type"),
        (b'[["JFK",9223372036854775808,true]]', "keys[0].year", "type"),
        (b'[["JFK",2013,1]]', "keys[0].late", "type"),
        (b"[[null,2013,true]]", "keys[0].origin", "required"),
        (b'[[["JFK"],2013,true]]', "keys[0].origin", "type"),
        (b'[["a",1,true],["a",1,true],["a",1,true],["a",1,true],["a",1,true]]', "keys", "max_items"),
        (b"[" + b"[" * 100 + b"]" * 100 + b"]", "keys[0]", "length"),
    ],
)
def test_a_batch_of_the_wrong_shape(flights: Program, keys: bytes, param: str, rule: str) -> None:
    with pytest.raises(BadParam) as refused:
        flights.bind_batch(keys)
    assert (refused.value.param, refused.value.rule) == (param, rule)


@pytest.mark.parametrize("fields", [(), ("k",)], ids=["row", "fields"])
@pytest.mark.parametrize("letters", [1, 600], ids=["key", "hashed key"])
def test_a_batch_is_bounded_in_bytes(tmp_path: Path, letters: int, fields: tuple[str, ...]) -> None:
    """A kilobyte of keys would else ask for gigabytes, and a loop that gathers them serves nobody."""
    keys = ["a" * letters, "b" * letters, "c" * letters]
    sizes = (
        BATCH_BYTES_MAX,
        BATCH_BYTES_MAX // 2,
        BATCH_BYTES_MAX // 2 + 1,
    )  # the longest row there can be, two halves
    rows: list[Row] = [((key,), {"k": key, "t": _padding(key, size)}) for key, size in zip(keys, sizes, strict=True)]
    path = write_version(tmp_path / "v", [("k", "string")], rows, columns=[("t", "VARCHAR")])
    program = program_of(open_snapshot(path), fields=fields)
    longest = 0 if fields else BATCH_BYTES_MAX
    for asked in ([keys[0]], [keys[1]] * 2, ["none"] * 3, [keys[0] + "a"]):
        assert len(program.bind_batch(msgspec.json.encode(asked))) > (longest if asked[0] in keys else 0)
    for asked in ([keys[0], keys[1]], [keys[1], keys[2]], [keys[2]] * 10, ["none"] * 10, [keys[0], "none"]):
        with pytest.raises(BadParam) as refused:
            program.bind_batch(msgspec.json.encode(asked))
        assert (refused.value.param, refused.value.rule) == ("keys", "max_bytes")
    program.close()


def test_a_miss_between_the_longest_rows_is_still_a_miss(tmp_path: Path) -> None:
    rows: list[Row] = [((key,), {"k": key, "t": _padding(key, BATCH_BYTES_MAX)}) for key in "ac"]
    program = program_of(open_snapshot(write_version(tmp_path / "v", [("k", "string")], rows)))
    assert program.bind_batch(b'["b"]') == b"[null]"
    program.close()


def _padding(key: str, size: int) -> str:
    """Of a row that has `size` bytes of JSON with it."""
    return "x" * (size - len(msgspec.json.encode({"k": key, "t": ""})))


def test_rules_hold_in_a_batch(tmp_path: Path) -> None:
    rows: list[Row] = [((1,), {"v": 1}), ((2,), {"v": 2})]
    snapshot = open_snapshot(write_version(tmp_path / "v", [("k", "int")], rows, columns=[("v", "BIGINT")]))
    program = program_of(snapshot, params={"k": {"max": 1, "default": 1}})
    assert program.bind_batch(b"[1,null]") == b'[{"v":1},{"v":1}]'
    with pytest.raises(BadParam) as refused:
        program.bind_batch(b"[1,2]")
    assert (refused.value.param, refused.value.rule) == ("keys[1].k", "max")
    assert program.query(b"k=2") is None, "rules are the binder's"
    program.close()


def test_fields_are_slices_of_the_row(tmp_path: Path) -> None:
    """The bytes of a value are untouched: digits, escapes, order of a struct's fields."""
    key, body = seal(encode(("string",), ("x",)), b'{"k":"x","d":1.500,"s":"\\u00e4","o":{"b":1, "a":[1e2]},"n":null}')
    directory = write_version(
        tmp_path / "v", [("k", "string")], [], columns=[(name, "VARCHAR") for name in "dson"], spoil={key: body}
    )
    program = program_of(open_snapshot(directory), fields=["n", "o", "d", "s"])
    wanted = b'{"n":null,"o":{"b":1, "a":[1e2]},"d":1.500,"s":"\\u00e4"}'
    assert set(found_by_every_way(program, ["k"], ["x"])) == {wanted}
    program.close()


@pytest.mark.parametrize("names", [('"',), ("\\", "a"), ("a\nb", "naïve"), ("",), ("class", "self", "f0")])
def test_fields_of_any_name(names: tuple[str, ...]) -> None:
    row = msgspec.json.encode({"other": 0, **{name: number for number, name in enumerate(reversed(names))}})
    assert msgspec.json.decode(projection(names)(row)) == {
        name: len(names) - 1 - number for number, name in enumerate(names)
    }


@pytest.mark.parametrize("key", ["JFK", "x" * 600])
def test_a_damaged_row_is_never_served(tmp_path: Path, key: str) -> None:
    sealed_key, value = seal(encode(("string",), (key,)), b'{"v":1}')
    _, other = seal(encode(("string",), (key + "y",)), b'{"v":2}')
    spoiled = [value[:-1], b"", value[:3], other, value + b"\0"]
    spoiled += [bytes([*value[:at], value[at] ^ 1 << at % 8, *value[at + 1 :]]) for at in range(0, len(value), 5)]
    for number, wrong in enumerate(spoiled):
        told: list[str] = []
        directory = write_version(
            tmp_path / str(number), [("k", "string")], [], columns=[("v", "BIGINT")], spoil={sealed_key: wrong}
        )
        program = program_of(open_snapshot(directory, lambda _, reason, told=told: told.append(reason)))  # type: ignore[misc]
        query = b"k=" + key.encode()
        calls: list[Callable[[], object]] = [
            partial(program.query, query),
            partial(program.bind_query, query),
            partial(program.bind_object, {"k": key}),
            partial(program.bind_batch, msgspec.json.encode([key])),
        ]
        for call in calls:
            with pytest.raises(StoreDown) as refused:
                call()
            assert "damaged" in refused.value.detail
        assert len(told) == len(calls)
        program.close()


def test_a_key_of_the_same_hash_is_a_miss(tmp_path: Path) -> None:
    """As if SHA-256 had met another key: an intact value that tells another encoding."""
    wanted, met = encode(("string",), ("x" * 600,)), encode(("string",), ("x" * 599 + "y",))
    sealed_key, _ = seal(wanted, b"{}")
    value = met + b'{"v":2}'
    value += zlib.crc32(value, zlib.crc32(sealed_key)).to_bytes(4, "little")
    assert len(wanted) > KEY_BYTES_MAX
    directory = write_version(
        tmp_path / "v", [("k", "string")], [], columns=[("v", "BIGINT")], spoil={sealed_key: value}
    )
    program = program_of(open_snapshot(directory))
    assert set(found_by_every_way(program, ["k"], ["x" * 600])) == {None}
    program.close()


def test_an_error_of_lmdb_is_a_store_that_is_down(flights: Program) -> None:
    fault = flights.fault(lmdb.CorruptedError("mdb_get: MDB_CORRUPTED: Located page was wrong type"))
    assert fault is not None
    assert fault.code == "store_down"
    assert flights.fault(ValueError()) is None


def test_a_program_gives_its_lease_back_once(tmp_path: Path) -> None:
    snapshot = open_snapshot(write_version(tmp_path / "v", FLIGHTS, []))
    program = program_of(snapshot)
    snapshot.acquire()
    program.close()
    program.close()
    assert not snapshot.closed
    snapshot.release()
    assert snapshot.closed
