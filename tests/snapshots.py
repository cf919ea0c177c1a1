"""Snapshot versions for tests, built by hand: no loader, no DuckDB, a millisecond each.

Rule: what is built is whole and true to its manifest; `damage` is what spoils it.
"""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import lmdb
import msgspec

from havok.keys import KeyColumn, KeyKind, encode
from havok.layout import dataset_dir, version_dir
from havok.manifest import (
    MANIFEST_FILE,
    ROWS_DB,
    ROWS_FILE,
    TWIN_FILE,
    Column,
    Manifest,
    encode_manifest,
    hash_file,
    version_id,
)
from havok.rows import seal

FIRST = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
KIND_TYPES: dict[KeyKind, str] = {"string": "VARCHAR", "int": "BIGINT", "bool": "BOOLEAN"}


def build(
    data_dir: Path,
    dataset: str,
    rows: Mapping[str | int, Mapping[str, object]],
    number: int = 0,
    *,
    key: KeyColumn | None = None,
    columns: Sequence[Column] | None = None,
    twin: bytes | None = None,
) -> str:
    """Places a version whose rows are `{key: {column: value}}`; its id. Greater numbers are newer.

    `twin`: what stands for one where none is read, only verified.
    """
    key = key or KeyColumn("id", "string")
    version = version_id(FIRST + datetime.timedelta(seconds=number), f"{number:08x}")
    path = version_dir(data_dir, dataset, version)
    path.mkdir(parents=True)
    sealed = sorted(
        seal(encode((key.kind,), (value,)), msgspec.json.encode({key.name: value, **row}))
        for value, row in rows.items()
    )
    file = path / ROWS_FILE
    with lmdb.open(str(file), subdir=False, lock=False, map_size=1 << 30, max_dbs=1, sync=False) as environment:
        database = environment.open_db(ROWS_DB)
        with environment.begin(write=True, db=database) as transaction:
            for name, value in sealed:
                transaction.put(name, value, append=True)
    files = [file]
    if twin is not None:
        files.append(path / TWIN_FILE)
        files[-1].write_bytes(twin)
    names = dict.fromkeys(name for row in rows.values() for name in row)
    manifest = Manifest(
        dataset=dataset,
        version=version,
        created=(FIRST + datetime.timedelta(seconds=number)).isoformat(),
        columns=tuple(columns or (Column(key.name, KIND_TYPES[key.kind]), *(Column(n, "VARCHAR") for n in names))),
        key=(key,),
        rows=len(rows),
        files={file.name: hash_file(file) for file in files},
        source="by hand",
    )
    (path / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    return version


def point(data_dir: Path, dataset: str, version: str) -> None:
    """Moves CURRENT, as a load does at its end."""
    current = dataset_dir(data_dir, dataset) / "CURRENT"
    temporary = current.with_name(".CURRENT.new")
    temporary.write_text(version + "\n")
    os.rename(temporary, current)


def damage(data_dir: Path, dataset: str, version: str, needle: bytes) -> None:
    """Flips the lowest bit of the first byte of `needle` wherever it stands in the rows, in place."""
    file = version_dir(data_dir, dataset, version) / ROWS_FILE
    content = file.read_bytes()
    assert needle in content, f"{needle!r} is not in {file}"
    with file.open("r+b") as stream:
        at = content.find(needle)
        while at >= 0:
            stream.seek(at)
            stream.write(bytes([content[at] ^ 1]))
            at = content.find(needle, at + 1)
