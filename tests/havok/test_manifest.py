"""A manifest survives its file, and no file that differs from it passes."""

import datetime
import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from havok import manifest as manifests
from havok.errors import DamagedVersion
from havok.keys import KeyColumn
from havok.manifest import (
    FORMAT,
    MANIFEST_FILE,
    Column,
    FileHash,
    GateResult,
    Index,
    Manifest,
    encode_manifest,
    hash_file,
    is_version_id,
    read_manifest,
    verify_file,
    version_id,
)

CHUNK = 64  # bytes, in these tests

MANIFEST = Manifest(
    dataset="airports",
    version="20261123T030405Z-1a2b3c4d",
    created="2026-11-23T03:04:05Z",
    columns=(Column("faa", "VARCHAR"), Column("fare", "DECIMAL(10,2)")),
    key=(KeyColumn("faa", "string"),),
    indexes=(Index("by_fare", (KeyColumn("fare", "wide"),)),),
    rows=1458,
    files={"rows.mdb": FileHash(5, ("ab",))},
    source="airports.csv",
    gates=(GateResult("min_rows = 1000", True, "1458"),),
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)


def test_round_trip(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(encode_manifest(MANIFEST))
    assert read_manifest(tmp_path) == MANIFEST
    assert MANIFEST.column("fare") == Column("fare", "DECIMAL(10,2)")
    assert MANIFEST.column("fair") is None
    assert MANIFEST.indexes[0].database == b"index/by_fare"


def test_a_manifest_of_format_1_has_no_blocks_and_is_read(tmp_path: Path) -> None:
    """Its seal is over the members that it has."""
    members = msgspec.to_builtins(msgspec.structs.replace(MANIFEST, format=1))
    del members["blocks"]
    members["sha256"] = hashlib.sha256(msgspec.json.encode(members)).hexdigest()
    (tmp_path / MANIFEST_FILE).write_bytes(msgspec.json.encode(members))
    found = read_manifest(tmp_path)
    assert (found.blocks, found.rows, found.format) == (None, 1458, 1)
    members["rows"] = 1459
    (tmp_path / MANIFEST_FILE).write_bytes(msgspec.json.encode(members))
    with pytest.raises(DamagedVersion, match="not as it was written"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"has no readable manifest: No such file"),
        (b"", r"is malformed"),
        (b"{", r"is malformed"),
        (b"{}", r"is malformed: .*missing required field"),
        (encode_manifest(MANIFEST)[:-10], r"is malformed"),
        (encode_manifest(MANIFEST).replace(b'"rows": 1458', b'"rows": "many"'), r"is malformed"),
        (encode_manifest(MANIFEST).replace(b'"rows": 1458', b'"rows": 1459'), r"is not as it was written"),
        (encode_manifest(MANIFEST).replace(b'"string"', b'"date"'), r"is not as it was written"),
        (
            encode_manifest(MANIFEST).replace(b'"format": %d' % FORMAT, b'"format": %d' % (FORMAT + 1)),
            rf"has format {FORMAT + 1}; this Havok reads up to {FORMAT}: upgrade it",
        ),
    ],
)
def test_an_unreadable_manifest_is_a_damaged_version(tmp_path: Path, content: bytes | None, reason: str) -> None:
    version = tmp_path / MANIFEST.version
    version.mkdir()
    if content is not None:
        (version / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(DamagedVersion, match=rf"version {MANIFEST.version} {reason}"):
        read_manifest(version)


def test_every_truncation_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    content = encode_manifest(MANIFEST).rstrip()
    for size in range(len(content)):
        (tmp_path / MANIFEST_FILE).write_bytes(content[:size])
        with pytest.raises(DamagedVersion):
            read_manifest(tmp_path)


@given(st.lists(st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(9999, 1, 1)), min_size=2, max_size=2))
def test_ids_sort_by_time(moments: list[datetime.datetime]) -> None:
    first, second = (moment.replace(tzinfo=datetime.UTC, microsecond=0) for moment in moments)
    one, other = version_id(first, "f" * 64), version_id(second, "0" * 64)
    assert is_version_id(one)
    assert is_version_id(other)
    if first != second:
        assert (one < other) == (first < second)


def test_an_id_is_in_utc() -> None:
    east = datetime.datetime(2026, 11, 23, 5, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    assert version_id(east, "1a2b3c4d" * 8) == "20261123T030405Z-1a2b3c4d"


@pytest.mark.parametrize(
    "name",
    ["", "CURRENT", ".build-1", "20261123T030405Z", "20261123T030405Z-1A2B3C4D", "20261123T030405Z-1a2b3c4d\n", "../x"],
)
def test_what_is_no_id(name: str) -> None:
    assert not is_version_id(name)


class TestVerify:
    @pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
    def test_an_unchanged_file_passes(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "rows.mdb"
        path.write_bytes(bytes(range(256))[: size % 256] + b"x" * (size - size % 256))
        expected = hash_file(path)
        assert expected.bytes == size
        assert len(expected.chunks) == -(-size // CHUNK)
        verify_file(path, expected)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(min_size=1, max_size=4 * CHUNK), data=st.data())
    def test_any_flipped_bit_is_found_in_its_chunk(self, tmp_path: Path, content: bytes, data: st.DataObject) -> None:
        path = tmp_path / "rows.mdb"
        path.write_bytes(content)
        expected = hash_file(path)
        bit = data.draw(st.integers(0, len(content) * 8 - 1))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        chunk = bit // 8 // CHUNK * CHUNK
        with pytest.raises(DamagedVersion, match=rf"rows\.mdb differs from its hash in bytes from {chunk}$"):
            verify_file(path, expected)

    def test_any_other_length_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.mdb"
        content = bytes(range(200))
        path.write_bytes(content)
        expected = hash_file(path)
        for size in [*range(200), 201, 400]:
            path.write_bytes((content * 2)[:size])
            with pytest.raises(DamagedVersion, match=rf"rows\.mdb has {size} bytes instead of 200"):
                verify_file(path, expected)

    def test_a_missing_file_is_damage_too(self, tmp_path: Path) -> None:
        with pytest.raises(DamagedVersion, match=r"rows\.mdb cannot be read: No such file"):
            verify_file(tmp_path / "rows.mdb", FileHash(0, ()))

    def test_a_hash_too_few_is_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.mdb"
        path.write_bytes(b"x" * (CHUNK + 1))
        whole = hash_file(path)
        with pytest.raises(DamagedVersion):
            verify_file(path, FileHash(whole.bytes, whole.chunks[:1]))
