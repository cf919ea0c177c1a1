"""Building a candidate version in its workspace: steps 1 to 4 of the cycle, before anyone hears of it.

Rule: what is built depends on the source, the settings and the live version alone. The
gates run between 1 and 2, as soon as the twin lets them, so that bad data costs no
writing; only the unique key is judged in 2, where appending finds a duplicate for nothing.
"""

import datetime
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

import duckdb
import msgspec

from havok.blocks import Blocks
from havok.errors import DamagedVersion, LoadError
from havok.manifest import (
    MANIFEST_FILE,
    ROWS_FILE,
    TWIN_FILE,
    Column,
    FileHash,
    GateResult,
    Manifest,
    encode_manifest,
    verify_file,
)
from havok.settings import DatasetSettings, LoaderSettings
from loader import blocks, duck, gates, merge, reader, rowfile, source, twin
from loader.relation import Relation
from loader.schema import Schema, resolve
from loader.workspace import sync_file

Mode = Literal["full", "upsert"]


class Progress(Protocol):
    """What a person watching a load sees. Called from the loading thread."""

    def step(self, number: int, name: str) -> None:
        """A step of the cycle begins; 4 is reported before 2, because that is when it runs."""

    def rows(self, done: int, total: int) -> None:
        """Rows written so far in step 2."""


class Silent:
    def step(self, number: int, name: str) -> None:
        return None

    def rows(self, done: int, total: int) -> None:
        return None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to build. `live_dir` and `live` are the version the candidate is measured against, if any."""

    dataset: str
    settings: DatasetSettings
    loader: LoaderSettings
    source: str
    config_dir: Path
    mode: Mode
    live_dir: Path | None
    live: Manifest | None


class Candidate(msgspec.Struct, frozen=True):
    schema: Schema
    rows: int
    gates: tuple[GateResult, ...]
    nonfinite: int
    files: dict[str, FileHash]
    content_hash: str
    origin: str
    blocks: Blocks | None


def build(order: Order, workspace: Path, progress: Progress) -> Candidate:
    """Leaves rows.parquet and rows.mdb in `workspace`. Raises LoadError or GateFailed."""
    spill = workspace / "spill"
    with duck.session(order.loader, spill, order.config_dir) as connection:
        progress.step(1, "read and sort")
        found = source.locate(order.source, order.config_dir)
        relation = _relation(connection, order, found)
        schema = resolve(relation.columns, order.settings)
        twin_path = workspace / TWIN_FILE
        try:
            total = twin.write(connection, relation.sql, schema, twin_path, order.loader.memory_mb)
        except duckdb.Error as error:
            raise LoadError(reader.explain(relation, error)) from None
        sorted_rows = twin.open_twin(connection, twin_path)
        schema = msgspec.structs.replace(schema, columns=_columns(sorted_rows))

        progress.step(4, "quality gates")
        live_rows = order.live.rows if order.live else None
        report = gates.run(
            connection, sorted_rows, schema, order.settings.quality, dataset=order.dataset, live_rows=live_rows
        )

        files, made = _rows_and_hashes(connection, order, sorted_rows, schema, total, workspace, progress)
    if spill.exists():
        spill.rmdir()
    return Candidate(
        schema=schema,
        rows=total,
        gates=(*report.results, gates.UNIQUE_PASSED),
        nonfinite=report.nonfinite,
        files=files,
        content_hash=_content_hash(schema, files[ROWS_FILE]),
        origin=found.label,
        blocks=made,
    )


def _rows_and_hashes(
    connection: duck.Session,
    order: Order,
    sorted_rows: twin.Twin,
    schema: Schema,
    total: int,
    workspace: Path,
    progress: Progress,
) -> tuple[dict[str, FileHash], Blocks | None]:
    """Steps 2 and 3. Hashing and syncing take no interpreter lock and run beside; step 6 syncs for certain."""
    rows_path, twin_path = workspace / ROWS_FILE, workspace / TWIN_FILE
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as beside:
        progress.step(2, "write")
        twin_hash = beside.submit(rowfile.hash_file, twin_path)
        made = blocks.plan(connection, sorted_rows, schema)
        written = rowfile.write(
            connection, sorted_rows, schema, made, rows_path, lambda done: progress.rows(done, total)
        )
        if written.collisions:
            raise gates.refuse_duplicates(connection, sorted_rows, schema, order.dataset)
        synced = beside.submit(sync_file, rows_path)

        progress.step(3, "verify structure and hash")
        if written.rows != total:
            raise LoadError(f"{written.rows} rows were written of {total} that were read")
        try:
            rowfile.check(rows_path, schema, made, written)
        except DamagedVersion as error:
            raise LoadError(f"the written file does not read back: {error.detail}") from None
        files = {ROWS_FILE: rowfile.hash_file(rows_path), TWIN_FILE: twin_hash.result()}
        synced.result()
        return files, made.blocks


def _relation(connection: duck.Session, order: Order, found: source.Source) -> Relation:
    if order.mode == "upsert":
        if order.live is None or order.live_dir is None:
            raise LoadError(f"{order.dataset} has no live version to upsert into; load it once with `--mode full`")
        if tuple(column.name for column in order.live.key) != order.settings.key:
            raise LoadError(
                f"the key of {order.dataset} is ({', '.join(order.settings.key)}) but its live version's is "
                f"({', '.join(column.name for column in order.live.key)}); load in full"
            )
        try:
            verify_file(order.live_dir / TWIN_FILE, order.live.files[TWIN_FILE])
        except (DamagedVersion, KeyError) as error:
            raise LoadError(f"the live version of {order.dataset} is damaged ({error}); load in full") from None
        return merge.relation(connection, found, order.live, order.live_dir / TWIN_FILE, order.dataset)
    return reader.read(connection, found, order.settings.columns, _live_types(connection, order, found))


def _live_types(connection: duck.Session, order: Order, found: source.Source) -> dict[str, str]:
    """What the live version has to say of text: a column in which nothing stood says nothing."""
    if order.live is None or order.live_dir is None or not isinstance(found, source.Files) or found.format == "parquet":
        return {}
    types = {column.name: column.type for column in order.live.columns}
    try:
        empty = twin.empty_columns(connection, order.live_dir / TWIN_FILE)
    except LoadError:  # a damaged twin is no reason not to load anew
        empty = set()
    return {column: kind for column, kind in types.items() if column not in empty}


def _columns(candidate: twin.Twin) -> tuple[Column, ...]:
    """Types as the file gives them back, so that every later reading finds the same text."""
    return tuple(Column(name=column, type=str(kind)) for column, kind in candidate.columns)


def _content_hash(schema: Schema, rows: FileHash) -> str:
    digest = hashlib.sha256(msgspec.json.encode(schema))
    for chunk in rows.chunks:
        digest.update(bytes.fromhex(chunk))
    return digest.hexdigest()


def write_manifest(
    order: Order, candidate: Candidate, version: str, created: datetime.datetime, workspace: Path
) -> Manifest:
    """The last file of a version; it is placed with it or not at all."""
    manifest = Manifest(
        dataset=order.dataset,
        version=version,
        created=created.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        columns=candidate.schema.columns,
        key=candidate.schema.key,
        indexes=candidate.schema.indexes,
        rows=candidate.rows,
        files=candidate.files,
        source=candidate.origin,
        mode=order.mode,
        parent=order.live.version if order.live else None,
        gates=candidate.gates,
        nonfinite=candidate.nonfinite,
        blocks=candidate.blocks,
    )
    (workspace / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    return manifest
