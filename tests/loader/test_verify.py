"""A flipped bit, a cut file or a wrong row is found (FAULTS 9)."""

import random
from pathlib import Path

import lmdb
import msgspec
import pytest

from havok.errors import NoSuchVersion
from havok.keys import encode
from havok.manifest import encode_manifest, hash_file
from loader import verify
from tests.loader.conftest import SMALL, Desk


@pytest.fixture
def loaded(desk: Desk) -> Desk:
    desk.load(
        "SELECT i AS id, 'row ' || i AS n, i % 7 AS g, 'nan'::DOUBLE AS d FROM range(3000) r(i)",
        indexes={"by_g": ("g",)},
    )
    return desk


def findings(desk: Desk) -> list[str]:
    assert desk.live is not None
    return verify.verify(desk.data_dir, "things", desk.live, SMALL)


def rehash(desk: Desk) -> None:
    """Makes the manifest agree with files that were tampered with, to see what is found beyond the hashes."""
    manifest, place = desk.manifest(), desk.place()
    files = {name: hash_file(place / name) for name in manifest.files}
    (place / "manifest.json").write_bytes(encode_manifest(msgspec.structs.replace(manifest, files=files)))


def open_rows(place: Path) -> lmdb.Environment:
    return lmdb.open(str(place / "rows.mdb"), subdir=False, lock=False, max_dbs=8)


def test_a_good_version_has_no_findings(loaded: Desk) -> None:
    seen: list[tuple[int, int]] = []
    assert loaded.live is not None
    assert verify.verify(loaded.data_dir, "things", loaded.live[-8:], SMALL, rows=lambda *at: seen.append(at)) == []
    assert seen[-1] == (3000, 3000)
    assert not [name for name in loaded.traces() if name.startswith(".")]
    with pytest.raises(NoSuchVersion):
        verify.verify(loaded.data_dir, "things", "nope", SMALL)


@pytest.mark.parametrize("name", ["rows.mdb", "rows.parquet"])
def test_any_flipped_bit_and_any_cut_is_found(loaded: Desk, name: str) -> None:
    rng = random.Random(7)
    path = loaded.place() / name
    good = path.read_bytes()
    for _ in range(12):
        bad = bytearray(good)
        at = rng.randrange(len(bad))
        bad[at] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        assert findings(loaded) == [f"{name} differs from its hash in bytes from 0"], f"bit in byte {at}"
    for size in (0, 1, 4096, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        assert findings(loaded) == [f"{name} has {size} bytes instead of {len(good)}"]
    path.unlink()
    assert "cannot be read" in findings(loaded)[0]


def test_a_broken_manifest_is_found(loaded: Desk) -> None:
    (loaded.place() / "manifest.json").write_bytes(b"{")
    assert "malformed" in findings(loaded)[0]


def test_a_row_that_fails_its_checksum(loaded: Desk) -> None:
    key = encode(["int"], [41])
    with open_rows(loaded.place()) as environment, environment.begin(write=True) as transaction:
        rows = environment.open_db(b"rows", txn=transaction)
        value = bytearray(transaction.get(key, db=rows) or b"")
        value[3] ^= 1
        transaction.put(key, bytes(value), db=rows)
    rehash(loaded)
    assert findings(loaded) == ["rows: 1 of 3000 entries failing their checksum"]


def test_rows_that_are_not_the_twins(loaded: Desk) -> None:
    from havok.rows import seal

    with open_rows(loaded.place()) as environment, environment.begin(write=True) as transaction:
        rows = environment.open_db(b"rows", txn=transaction)
        index = environment.open_db(b"index/by_g", txn=transaction)
        transaction.put(*seal(encode(["int"], [41]), b'{"id":41}'), db=rows)
        transaction.delete(encode(["int"], [42]), db=rows)
        transaction.put(*seal(encode(["int"], [9999]), b"{}"), db=rows)
        transaction.pop(next(transaction.cursor(index).iternext(keys=True, values=False)), db=index)
    rehash(loaded)
    assert findings(loaded) == [
        "index/by_g holds 2999 entries instead of 3000",
        "rows: 1 of 3000 entries missing that the twin has",
        "rows: 1 of 3000 entries different from the twin",
        "index/by_g: 1 of 3000 entries missing that the twin has",
    ]


@pytest.mark.parametrize("database", [b"blocks/by_g", b"words"])
def test_blocks_that_say_otherwise_than_the_twin(loaded: Desk, database: bytes) -> None:
    with open_rows(loaded.place()) as environment, environment.begin(write=True) as transaction:
        handle = environment.open_db(database, txn=transaction)
        with transaction.cursor(db=handle) as cursor:
            cursor.first()
            key, value = cursor.item()
        transaction.put(key, bytes(value)[:-1] + b"?", db=handle)
    rehash(loaded)
    assert findings(loaded) == [f"{database.decode()}: 1 entries different from the twin"]


def test_a_manifest_that_says_otherwise_how_columns_are_packed(loaded: Desk) -> None:
    manifest = loaded.manifest()
    assert manifest.blocks is not None
    others = msgspec.structs.replace(manifest.blocks, columns=manifest.blocks.columns[:-1])
    content = encode_manifest(msgspec.structs.replace(manifest, blocks=others))
    (loaded.place() / "manifest.json").write_bytes(content)
    assert "how columns are packed" in findings(loaded)[0]
