"""LMDB rows are what havok.rows seals, for keys of any length (FAULTS 15)."""

import random

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from havok.errors import DamagedVersion, LoadError
from havok.keys import bounded, encode, encode_nullable
from havok.manifest import hash_file
from havok.rows import seal, unseal
from loader import blocks, rowfile
from loader.schema import Schema
from tests.loader.conftest import Desk

NO_BLOCKS = blocks.Plan(frozenset())


def test_rows_are_what_seal_makes_of_them(desk: Desk) -> None:
    desk.load("SELECT i::BIGINT AS id, 'name ' || i AS n FROM range(5000) r(i)")
    expected = [seal(encode(["int"], [i]), b'{"id":%d,"n":"name %d"}' % (i, i)) for i in range(5000)]
    assert desk.entries() == expected


def test_index_entries_lead_to_their_row(desk: Desk) -> None:
    desk.load(
        "SELECT i::BIGINT AS id, CASE WHEN i % 3 > 0 THEN 't' || (i % 3) END AS tag, DATE '2020-01-01' + i::INT AS day "
        "FROM range(100) r(i)",
        indexes={"by_tag": ("tag", "day"), "by_day": ("day",)},
    )
    entries = desk.entries(b"index/by_tag")
    assert len(entries) == len(desk.entries(b"index/by_day")) == 100
    import datetime

    expected = []
    for i in range(100):
        tag = f"t{i % 3}" if i % 3 else None
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=i)
        key = encode(["int"], [i])
        expected.append(seal(encode_nullable(["string", "date"], [tag, day]) + key, key))
    assert entries == sorted(expected)
    assert entries[-1][0].startswith(b"\x02")


def test_long_keys_round_trip(desk: Desk) -> None:
    rng = random.Random(20)
    lengths = [1, 2, 100, 300, 477, 478, 479, 508, 509, 510, 511, 512, 600, 4096, 65536]
    keys = {"p" * (length - 1) + suffix for length in lengths for suffix in "abc"}
    keys |= {"".join(rng.choices("xy\x00\x01é", k=length)) for length in lengths}
    keys |= {"p" * 500 + f"{i:03}" + "q" * rng.choice([0, 5, 30]) for i in range(200)}
    rows = desk.config_dir / "keys.jsonl"
    import msgspec

    rows.write_bytes(b"".join(msgspec.json.encode({"id": key, "n": i}) + b"\n" for i, key in enumerate(sorted(keys))))
    result = desk.load("keys.jsonl", indexes={"by_n": ("n",)})
    assert result.rows == len(keys)
    found = dict(desk.entries())
    index = dict(desk.entries(b"index/by_n"))
    for i, key in enumerate(sorted(keys)):
        encoding = encode(["string"], [key])
        body = unseal(encoding, found[bounded(encoding)])
        assert body is not None
        assert msgspec.json.decode(body) == {"id": key, "n": i}
        entry = encode_nullable(["int"], [i]) + encoding
        assert unseal(entry, index[bounded(entry)]) == encoding


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=40), st.sampled_from([1, 300, 600]))
def test_any_strings_are_stored_as_sealed(
    tmp_path_factory: pytest.TempPathFactory, texts: set[str], repeated: int
) -> None:
    import msgspec

    desk = Desk(tmp_path_factory.mktemp("desk"))
    keys = sorted(text * repeated for text in texts)
    lines = [msgspec.json.encode({"id": key}) for key in keys]
    desk.write("a.jsonl", b"\n".join(lines))
    desk.load("a.jsonl", columns={"id": "VARCHAR"})
    found = dict(desk.entries())
    assert len(found) == len(set(keys))
    for key in set(keys):
        encoding = encode(["string"], [key])
        body = unseal(encoding, found[bounded(encoding)])
        assert body is not None
        assert msgspec.json.decode(body) == {"id": key}


def test_a_row_over_the_limit_is_named(desk: Desk) -> None:
    with pytest.raises(
        LoadError, match=r'the row with key \{"id":7\} has 16777\d+ bytes of JSON; a row may have 16777216'
    ):
        desk.load("SELECT 7 AS id, repeat('x', 16777216) AS big UNION ALL SELECT 8, 'y'")
    assert desk.load("SELECT 7 AS id, repeat('x', 16777100) AS big").rows == 1


def test_hashing_on_all_cores_gives_the_manifest_hash(desk: Desk) -> None:
    path = desk.write("blob", random.Random(1).randbytes(9 * 1024 * 1024 + 5))
    assert rowfile.hash_file(path) == hash_file(path)
    empty = desk.write("empty", b"")
    assert rowfile.hash_file(empty) == hash_file(empty)


def test_check_finds_a_short_file_and_a_broken_sample(desk: Desk) -> None:
    desk.load("SELECT i AS id, 'row ' || i AS n FROM range(100) r(i)")
    manifest, path = desk.manifest(), desk.place() / "rows.mdb"
    schema = Schema(columns=manifest.columns, key=manifest.key)
    keys = tuple(key for key, _ in desk.entries())
    rowfile.check(path, schema, NO_BLOCKS, rowfile.Written(rows=100, collisions=0, samples=keys))
    with pytest.raises(DamagedVersion, match="100 entries instead of 101"):
        rowfile.check(path, schema, NO_BLOCKS, rowfile.Written(rows=101, collisions=0, samples=keys))
    with pytest.raises(DamagedVersion, match="does not read back"):
        rowfile.check(path, schema, NO_BLOCKS, rowfile.Written(rows=100, collisions=0, samples=(b"nobody",)))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"row 55", b"row 56"))
    with pytest.raises(DamagedVersion, match="does not read back"):
        rowfile.check(path, schema, NO_BLOCKS, rowfile.Written(rows=100, collisions=0, samples=keys))


def test_check_finds_blocks_that_are_too_few_or_broken(desk: Desk) -> None:
    desk.load("SELECT i % 2 AS k, i AS id, 'row ' || i AS n FROM range(1100) r(i)", key=("k", "id"))
    manifest, path = desk.manifest(), desk.place() / "rows.mdb"
    assert manifest.blocks is not None
    schema, made = Schema(columns=manifest.columns, key=manifest.key), blocks.Plan(frozenset(), manifest.blocks)
    rowfile.check(path, schema, made, rowfile.Written(rows=1100, collisions=0, samples=()))
    with pytest.raises(DamagedVersion, match="blocks holds 3 blocks of 1024 rows"):
        rowfile.check(path, schema, made, rowfile.Written(rows=1024, collisions=0, samples=()))
    with pytest.raises(DamagedVersion, match="does not hold the rows"):
        rowfile.check(path, schema, made, rowfile.Written(rows=1101, collisions=0, samples=()))
    last, _ = desk.entries(b"blocks")[-1]
    with (
        lmdb.open(str(path), subdir=False, lock=False, max_dbs=8) as environment,
        environment.begin(write=True, db=environment.open_db(b"blocks")) as transaction,
    ):
        head = bytearray(transaction.get(last) or b"")
        head[0] ^= 1
        transaction.put(last, bytes(head))
    with pytest.raises(DamagedVersion, match="failed its checksum"):
        rowfile.check(path, schema, made, rowfile.Written(rows=1100, collisions=0, samples=()))


def test_batches_stay_small_when_rows_are_large(desk: Desk) -> None:
    desk.load("SELECT i AS id, repeat('x', 1000000) AS big FROM range(60) r(i)")
    assert len(desk.entries()) == 60
    assert desk.load("SELECT 1 AS id WHERE false").rows == 0
    assert desk.entries() == []


@pytest.mark.parametrize("text", ['{"a":NaN}', '{"b":[1,2,]}', '{"c":Infinity}'])
def test_what_only_passes_for_json_is_refused(desk: Desk, text: str) -> None:
    with pytest.raises(LoadError, match="a JSON column holds what is no JSON"):
        desk.load(f"SELECT 1 AS id, '{text}'::JSON AS j")
    assert desk.live is None
