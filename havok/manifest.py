"""What a snapshot version says of itself: schema, key, indexes, files and their hashes.

Rule: a manifest is written once, before its version is placed, and never changed.
It is what a reader checks the files against before it opens them.
"""

import datetime
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from havok.blocks import Blocks
from havok.errors import DamagedVersion
from havok.keys import KeyColumn

FORMAT = 2  # 1: without blocks
MANIFEST_FILE = "manifest.json"
ROWS_FILE = "rows.mdb"
TWIN_FILE = "rows.parquet"
ROWS_DB = b"rows"
CHUNK_BYTES = 4 * 1024 * 1024  # hashed and warmed at a time: a few ms of one core
READ_BYTES = 512 * 1024  # what a worker keeps for it; more is not faster

# What the machine lacks for now, or somebody holds for a moment: it says nothing of the file.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})

_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Column(msgspec.Struct, frozen=True):
    """`type` is the DuckDB type as the cold twin stores it, e.g. `DECIMAL(10,2)`."""

    name: str
    type: str


class Index(msgspec.Struct, frozen=True):
    """A sub-database named `index/<name>`.

    Key: `encode_nullable(columns) + encode(key)`, bounded; value: the sealed row key.
    """

    name: str
    columns: tuple[KeyColumn, ...]

    @property
    def database(self) -> bytes:
        return b"index/" + self.name.encode()


class FileHash(msgspec.Struct, frozen=True):
    """`chunks`: SHA-256 (hex) of each `CHUNK_BYTES` of the file, the last one shorter."""

    bytes: int
    chunks: tuple[str, ...]


class GateResult(msgspec.Struct, frozen=True):
    """One quality gate as it ran: `found` is the offending count or measured value."""

    rule: str
    passed: bool
    detail: str = ""


def databases(indexes: int) -> int:
    """How many sub-databases a rows file may have: rows and indexes, the blocks of each, words."""
    return 2 * (1 + indexes) + 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    dataset: str
    version: str
    created: str  # RFC 3339, UTC
    columns: tuple[Column, ...]
    key: tuple[KeyColumn, ...]
    indexes: tuple[Index, ...] = ()
    rows: int
    files: dict[str, FileHash]
    source: str
    mode: str = "full"  # full | upsert
    parent: str | None = None  # the live version when this one was built
    gates: tuple[GateResult, ...] = ()
    nonfinite: int = 0  # NaN and infinities that became null
    blocks: Blocks | None = None
    format: int = FORMAT

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def databases(self) -> int:
        """How many sub-databases its rows file may have."""
        return databases(len(self.indexes))


class _Seal(msgspec.Struct, frozen=True):
    """The last member of a manifest file: the hash of all others, however they are spaced."""

    sha256: str


def _seal(manifest: Manifest) -> _Seal:
    members = msgspec.to_builtins(manifest)
    if manifest.format == 1:
        del members["blocks"]
    return _Seal(hashlib.sha256(msgspec.json.encode(members)).hexdigest())


def encode_manifest(manifest: Manifest) -> bytes:
    """The content of a manifest file."""
    members = msgspec.to_builtins(manifest) | msgspec.to_builtins(_seal(manifest))
    return msgspec.json.format(msgspec.json.encode(members), indent=1) + b"\n"


def read_manifest(version_dir: Path) -> Manifest:
    """Raises DamagedVersion when it is missing, malformed, altered or of a newer format, OSError for a shortage."""
    path = version_dir / MANIFEST_FILE
    try:
        content = path.read_bytes()
        manifest = msgspec.json.decode(content, type=Manifest)
        seal = msgspec.json.decode(content, type=_Seal)
    except OSError as error:
        if error.errno in SHORTAGES:
            raise
        raise DamagedVersion(f"version {version_dir.name} has no readable manifest: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise DamagedVersion(f"the manifest of version {version_dir.name} is malformed: {error}") from None
    if manifest.format > FORMAT:
        raise DamagedVersion(
            f"version {version_dir.name} has format {manifest.format}; this Havok reads up to {FORMAT}: upgrade it"
        )
    if seal != _seal(manifest):
        raise DamagedVersion(f"the manifest of version {version_dir.name} is not as it was written")
    return manifest


def version_id(created: datetime.datetime, content_hash: str) -> str:
    """UTC time and content hash (hex) → an id that sorts by time."""
    return f"{created.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}-{content_hash[:8]}"


def is_version_id(name: str) -> bool:
    return _VERSION.fullmatch(name) is not None


def hash_chunks(path: Path) -> Iterator[str]:
    """SHA-256 (hex) of each chunk; reading leaves the pages warm. Releases the GIL."""
    buffer = memoryview(bytearray(READ_BYTES))
    with open(path, "rb", buffering=0) as file:
        left = 0
        while left == 0:  # a short chunk is the last
            chunk, left = hashlib.sha256(), CHUNK_BYTES
            while left and (size := file.readinto(buffer[:left])):
                chunk.update(buffer[:size])
                left -= size
            if left < CHUNK_BYTES:
                yield chunk.hexdigest()


def hash_file(path: Path) -> FileHash:
    chunks = tuple(hash_chunks(path))
    return FileHash(bytes=os.path.getsize(path), chunks=chunks)


def verify_file(path: Path, expected: FileHash) -> None:
    """Reads the whole file. Raises DamagedVersion naming the first chunk that differs, OSError for a shortage."""
    try:
        size = os.path.getsize(path)
        if size != expected.bytes:
            raise DamagedVersion(f"{path.name} has {size} bytes instead of {expected.bytes}")
        for number, (found, wanted) in enumerate(zip_longest(hash_chunks(path), expected.chunks)):
            if found != wanted:
                raise DamagedVersion(f"{path.name} differs from its hash in bytes from {number * CHUNK_BYTES}")
    except OSError as error:
        if error.errno in SHORTAGES:
            raise
        raise DamagedVersion(f"{path.name} cannot be read: {error.strerror}") from None
