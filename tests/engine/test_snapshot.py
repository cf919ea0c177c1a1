"""Snapshots: nothing damaged is ever opened, and leases decide when one closes."""

import contextlib
import fcntl
import os
import random
import re
import resource
from pathlib import Path

import msgspec
import pytest

from engine.snapshot import Snapshot, open_snapshot, verify_snapshot
from havok.errors import DamagedVersion
from havok.keys import bounded, encode
from havok.manifest import MANIFEST_FILE, ROWS_FILE, encode_manifest, read_manifest
from tests.engine.making import AIRPORTS, Row, write_airports, write_version


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_airports(tmp_path / "v1")


def test_reads_what_was_written(directory: Path) -> None:
    snapshot = open_snapshot(directory)
    assert snapshot.dataset == "airports"
    value = snapshot.get(encode(("string",), ("JFK",)))
    assert value is not None
    assert msgspec.json.decode(value[:-4])["name"] == "Airport JFK"
    assert snapshot.get(encode(("string",), ("XXX",))) is None
    snapshot.release()


def test_closes_with_the_last_lease(directory: Path) -> None:
    snapshot = open_snapshot(directory)
    before = len(os.listdir("/proc/self/fd"))
    snapshot.acquire()
    snapshot.release()
    assert not snapshot.closed
    snapshot.release()
    assert snapshot.closed
    assert len(os.listdir("/proc/self/fd")) < before
    with pytest.raises(AssertionError):
        snapshot.acquire()


def test_is_known_to_be_in_use_while_open(directory: Path) -> None:
    def retirable() -> bool:
        with open(directory / MANIFEST_FILE) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    snapshot = open_snapshot(directory)
    assert not retirable()
    snapshot.release()
    assert retirable()


def test_an_unlinked_version_stays_readable(directory: Path) -> None:
    snapshot = open_snapshot(directory)
    for name in (ROWS_FILE, MANIFEST_FILE):
        (directory / name).unlink()
    assert all(snapshot.get(encode(("string",), (code,))) for code in AIRPORTS)
    snapshot.release()


def assert_refused(directory: Path) -> None:
    """And without a descriptor left behind or a path told."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DamagedVersion) as refused:
        open_snapshot(directory)
    assert len(os.listdir("/proc/self/fd")) == before
    assert str(directory.parent) not in refused.value.detail


def test_truncated_at_any_length(directory: Path) -> None:
    path = directory / ROWS_FILE
    whole = path.read_bytes()
    lengths = {0, 1, 4095, 4096, 4097, len(whole) - 1, *range(0, len(whole), 1021)}
    for length in sorted(lengths, reverse=True):
        os.truncate(path, length)
        assert_refused(directory)


def test_longer_than_it_was(directory: Path) -> None:
    with open(directory / ROWS_FILE, "ab") as file:
        file.write(b"\0")
    assert_refused(directory)


def test_any_bit_flipped(directory: Path, dice: random.Random) -> None:
    path = directory / ROWS_FILE
    whole = bytearray(path.read_bytes())
    for _ in range(200):
        position, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        whole[position] ^= bit
        path.write_bytes(whole)
        assert_refused(directory)
        whole[position] ^= bit
    path.write_bytes(whole)
    open_snapshot(directory).release()


@pytest.mark.parametrize("name", [ROWS_FILE, MANIFEST_FILE])
def test_a_missing_file(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert_refused(directory)


def test_a_manifest_truncated_at_any_length(directory: Path) -> None:
    path = directory / MANIFEST_FILE
    whole = path.read_bytes()
    for length in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:length])
        assert_refused(directory)


def test_a_manifest_of_other_rows(directory: Path) -> None:
    manifest = read_manifest(directory)
    changes: list[dict[str, object]] = [{"rows": manifest.rows + 1}, {"files": {}}, {"format": 99}]
    for change in changes:
        changed = msgspec.structs.replace(manifest, **change)
        (directory / MANIFEST_FILE).write_bytes(encode_manifest(changed))
        assert_refused(directory)


def test_a_verified_version_that_is_no_lmdb_file(directory: Path) -> None:
    """Hashes say what was written, not that it can be opened: still no crash, nothing left open."""
    manifest = verify_snapshot(directory)
    for content in (b"", b"x" * 100, b"\0" * 8192, (directory / ROWS_FILE).read_bytes()[:100] + b"\xff" * 8192):
        (directory / ROWS_FILE).write_bytes(content)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(DamagedVersion) as refused:
            Snapshot(directory, manifest)
        assert len(os.listdir("/proc/self/fd")) == before
        assert str(directory) not in refused.value.detail


def test_damage_is_told_to_whoever_asked(directory: Path) -> None:
    told: list[tuple[Snapshot, str]] = []
    snapshot = open_snapshot(directory, lambda damaged, reason: told.append((damaged, reason)))
    snapshot.report_damage("because")
    assert told == [(snapshot, "because")]
    snapshot.release()


def test_out_of_descriptors_is_no_damage(directory: Path) -> None:
    """A version that is called damaged is left by the whole node; this one is only opened later."""
    manifest = read_manifest(directory)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    for spare in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 20, limits[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            for _ in range(spare):
                os.close(held.pop())
            with contextlib.suppress(OSError):  # where there are enough it may succeed
                Snapshot(directory, manifest).release()
            if spare == 0:
                for act in (read_manifest, verify_snapshot, open_snapshot):
                    with pytest.raises(OSError, match="Too many open files"):
                        act(directory)
        finally:
            while held:
                os.close(held.pop())
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    open_snapshot(directory).release()


def keys_of(size: int) -> list[str]:
    """2,000 keys, padded; over 510 bytes they are hashed."""
    return [f"K{number:04d}".ljust(size, "-") for number in range(2000)]


@pytest.mark.parametrize("size", [5, 600], ids=["keys", "hashed keys"])
def test_a_damaged_key_is_met_by_whoever_misses_it(tmp_path: Path, size: int, dice: random.Random) -> None:
    """Wherever the bit is, in a leaf or in a branch that leads to it."""
    rows: list[Row] = [((key,), {"faa": key}) for key in keys_of(size)]
    path = write_version(tmp_path / "v", [("faa", "string")], rows)
    snapshot = open_snapshot(path)
    keys = sorted(bounded(encode(("string",), (key,))) for key in keys_of(size))
    content = (path / ROWS_FILE).read_bytes()
    in_branches = [key for key in keys if content.count(key) > 1]
    missed = 0
    with (path / ROWS_FILE).open("r+b", buffering=0) as file:
        for key in [*dice.sample(keys, 100), *dice.sample(in_branches, min(20, len(in_branches)))]:
            for place in places(content, key):
                at = place + dice.randrange(len(key))
                os.pwrite(file.fileno(), bytes([content[at] ^ 1 << dice.randrange(8)]), at)
                absent = [other for other in keys if snapshot.get(other) is None]
                for other in absent:
                    with pytest.raises(DamagedVersion):
                        snapshot.check_gap(other)
                missed += len(absent)
                os.pwrite(file.fileno(), content[at : at + 1], at)
    print(f"{missed} keys missed")
    assert missed >= 120
    snapshot.release()


def places(content: bytes, key: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(key), content)]


@pytest.mark.parametrize("rows", [0, 1, 2, 2000])
def test_a_gap_between_good_entries_is_only_a_gap(tmp_path: Path, rows: int) -> None:
    """Before the first, after the last, between any two; its size is what a row there would have."""
    written: list[Row] = [((key,), {"faa": key}) for key in keys_of(5)[:rows]]
    snapshot = open_snapshot(write_version(tmp_path / "v", [("faa", "string")], written))
    one = len(b'{"faa":"K0000"}') + 4
    for key, _ in written:
        at_end = key == written[-1][0]
        assert snapshot.check_gap(encode(("string",), (f"{key[0]}x",))) == (one // 2 if at_end else one)
    assert snapshot.check_gap(b"\0") == snapshot.check_gap(b"\xff" * 511) == (one // 2 if rows else 0)
    snapshot.release()
