"""Writing and checking `rows.mdb`: sealed rows and index entries in key order.

Rule: one pass per sub-database over a sorted query of the twin, appended, so that pages
fill completely and nothing is searched. Dirty pages are committed every `COMMIT_BYTES`,
and are on disk when the builder has synced the file. The map is as large as the disk: the
disk, not the map, is the limit.

An encoding longer than `KEY_BYTES_MAX` is stored hashed and so out of order among its
neighbours; a table that may have such keys is put row by row, appending where it can.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import Struct

import duckdb
import lmdb
import msgspec
from isal.isal_zlib import crc32

from havok.blocks import WORDS_DB, Block, Blocks
from havok.errors import DamagedVersion, LoadError
from havok.manifest import CHUNK_BYTES, ROWS_DB, FileHash, databases
from havok.rows import RESIDUE, ROW_BYTES_MAX, seal
from loader import blocks, duck, render, twin
from loader.schema import Schema
from loader.twin import Twin

COMMIT_BYTES = 32 * 1024 * 1024  # dirty pages held in memory before they are written out
BATCH_ROWS_MAX = 1024  # tuples alive at once: few enough to die young under the collector
BATCH_BYTES = 4 * 1024 * 1024  # of rows fetched at once where rows are large
SAMPLES_MAX = 4096  # keys remembered for the check after the write
HASH_THREADS = 4  # SHA-256 of a chunk runs without the interpreter lock
_ROW_TOO_LARGE = "row too large"
_SHOWN_BYTES = 160  # of an offending row
_pack_crc = Struct("<I").pack

Batch = Sequence[tuple[bytes, bytes]]


class Written(msgspec.Struct, frozen=True):
    """`collisions`: rows whose key was already there; the file is then unusable."""

    rows: int
    collisions: int
    samples: tuple[bytes, ...]


def write(
    connection: duck.Session,
    candidate: Twin,
    schema: Schema,
    made: blocks.Plan,
    path: Path,
    done: Callable[[int], None],
) -> Written:
    """Rows, then each index, each with its blocks, as `made` says. `done`: rows so far.

    Raises LoadError (a row too large, the disk full).
    """
    batches = _batches(connection, twin.rows_query(candidate, schema.key))
    if any("JSON" in kind for _, kind in schema.pairs):
        batches = _all_json(batches)
    try:
        environment = _open_new(path, databases(len(schema.indexes)))
    except lmdb.Error as error:
        raise _unwritten(path, error) from None
    try:
        written = _fill(
            environment,
            ROWS_DB,
            batches,
            _put_any if None in made.hashed else _put_ordered,
            done,
        )
        if written.collisions:
            return written
        _fill_blocks(environment, connection, twin.ordered(candidate, schema.key), None, made)
        for index in schema.indexes:
            _fill(
                environment,
                index.database,
                _batches(connection, twin.index_query(candidate, schema.key, index)),
                _put_any if index.name in made.hashed else _put_ordered,
                lambda _: None,
            )
            _fill_blocks(environment, connection, twin.ordered(candidate, schema.key, index), index.name, made)
        if made.blocks is not None:
            _fill(environment, WORDS_DB, [blocks.words(made)], _put_blocks, lambda _: None)
        return written
    except duckdb.Error as error:
        if _ROW_TOO_LARGE in str(error):
            raise _too_large(connection, candidate, schema) from None
        raise LoadError(duck.explain(error)) from None
    except lmdb.Error as error:
        raise _unwritten(path, error) from None
    finally:
        environment.close()


def _fill_blocks(
    environment: lmdb.Environment, connection: duck.Session, query: str, index: str | None, made: blocks.Plan
) -> None:
    if index in made.orders:
        _fill(environment, Blocks.database(index), blocks.entries(connection, query, made), _put_blocks, lambda _: None)


def _unwritten(path: Path, error: lmdb.Error) -> LoadError:
    """LMDB reports a write cut short by a full disk as an input/output error: look at the disk."""
    free = shutil.disk_usage(path.parent).free
    reason = str(error).rpartition(": ")[2]
    if free < COMMIT_BYTES:
        reason = f"no space left on the disk ({free // 1024} KiB free)"
    return LoadError(f"rows cannot be written: {reason}")


def _open_new(path: Path, databases: int) -> lmdb.Environment:
    return lmdb.open(
        str(path),
        subdir=False,
        lock=False,
        sync=False,
        max_dbs=databases,
        map_size=max(shutil.disk_usage(path.parent).total, 1 << 30),
        mode=0o644,
    )


def _batches(connection: duck.Session, query: str) -> Iterator[Batch]:
    """The query's (key, body) pairs; a batch is about BATCH_BYTES at most."""
    body = f"CASE WHEN octet_length({twin.BODY}) > {ROW_BYTES_MAX} THEN error('{_ROW_TOO_LARGE}') ELSE {twin.BODY} END"
    result = connection.execute(f"SELECT {twin.ENCODING}, {body} FROM ({query})")
    size = 16
    while batch := result.fetchmany(size):
        yield batch
        widest = max(len(batch[0][1]), len(batch[-1][1]), 1)
        size = max(1, min(BATCH_ROWS_MAX, size * 4, BATCH_BYTES // widest))


def _all_json(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Columns of type JSON are copied as text, and DuckDB lets NaN and other things of JavaScript's pass for JSON."""
    check = msgspec.json.Decoder(msgspec.Raw).decode
    for batch in batches:
        for _, body in batch:
            try:
                check(body)
            except msgspec.DecodeError as error:
                row = body[:_SHOWN_BYTES].decode(errors="replace")
                raise LoadError(f"a JSON column holds what is no JSON: {error}; the row begins {row}") from None
        yield batch


def _fill(
    environment: lmdb.Environment,
    database: bytes,
    batches: Iterable[Batch],
    put: Callable[[lmdb.Cursor, Batch], int],
    done: Callable[[int], None],
) -> Written:
    """Puts every batch, committing as it goes, until the first collision."""
    handle = environment.open_db(database)
    page = environment.stat()["psize"]
    rows = collisions = committed = 0
    samples: list[bytes] = []
    transaction = environment.begin(write=True, db=handle)
    try:
        cursor = transaction.cursor()
        for batch in batches:
            collisions = put(cursor, batch)
            rows += len(batch)
            if collisions:
                break
            if batch and len(samples) < SAMPLES_MAX:
                samples.append(bytes(cursor.key()))
            stat = transaction.stat(handle)
            pages = stat["leaf_pages"] + stat["overflow_pages"]
            if (pages - committed) * page > COMMIT_BYTES:
                transaction.commit()
                transaction = environment.begin(write=True, db=handle)
                cursor = transaction.cursor()
                committed = pages
            done(rows)
        transaction.commit()
    except BaseException:
        transaction.abort()
        raise
    return Written(rows=rows, collisions=collisions, samples=tuple(samples))


def _put_ordered(cursor: lmdb.Cursor, batch: Batch) -> int:
    """Short keys in order, `havok.rows.seal` written out because a call per row costs a tenth of a load."""
    sealed = [(key, body + _pack_crc(crc32(body, crc32(key)))) for key, body in batch]
    consumed, added = cursor.putmulti(sealed, append=True)
    return consumed - added


def _put_blocks(cursor: lmdb.Cursor, batch: Batch) -> int:
    """They bring their checksums with them."""
    consumed, added = cursor.putmulti(batch, append=True)
    return consumed - added


def _put_any(cursor: lmdb.Cursor, batch: Batch) -> int:
    collisions = 0
    for encoding, body in batch:
        key, value = seal(encoding, body)
        if not cursor.put(key, value, append=True):
            collisions += not cursor.put(key, value, overwrite=False)
    return collisions


def _too_large(connection: duck.Session, candidate: Twin, schema: Schema) -> LoadError:
    key = render.row_json([column for column in candidate.columns if column[0] in {k.name for k in schema.key}])
    size = f"strlen({render.row_json(candidate.columns)})"
    shown, found = duck.one(
        connection, f"SELECT left({key}, 200), {size} AS s FROM {candidate.table} ORDER BY s DESC LIMIT 1"
    )
    return LoadError(f"the row with key {shown} has {found} bytes of JSON; a row may have {ROW_BYTES_MAX}")


def open_readonly(path: Path, databases: int) -> lmdb.Environment:
    """As a reader opens it. Raises DamagedVersion when it is no LMDB file."""
    try:
        return lmdb.open(str(path), subdir=False, readonly=True, lock=False, create=False, max_dbs=databases)
    except lmdb.Error as error:
        raise DamagedVersion(f"{path.name} does not open: {str(error).rpartition(': ')[2]}") from None


def check(path: Path, schema: Schema, made: blocks.Plan, written: Written) -> None:
    """Opens the finished file as a reader would: counts of every sub-database, checksums of the sample.

    Raises DamagedVersion. Cheap; `loader.verify` reads every row.
    """
    environment = open_readonly(path, databases(len(schema.indexes)))
    try:
        for index in made.orders:
            _check_blocks(environment, index, written.rows)
        for database in (ROWS_DB, *(index.database for index in schema.indexes)):
            handle = environment.open_db(database, create=False)
            with environment.begin(db=handle) as transaction:
                entries = transaction.stat(handle)["entries"]
                if entries != written.rows:
                    raise DamagedVersion(f"{database.decode()} holds {entries} entries instead of {written.rows}")
        with environment.begin(db=environment.open_db(ROWS_DB, create=False), buffers=True) as transaction:
            for key in written.samples:
                value = transaction.get(key)
                if value is None or crc32(value, crc32(key)) != RESIDUE:
                    raise DamagedVersion("a row does not read back as it was written")
    except lmdb.Error as error:
        raise DamagedVersion(f"{path.name}: {error}") from None
    finally:
        environment.close()


def _check_blocks(environment: lmdb.Environment, index: str | None, rows: int) -> None:
    """How many there are, and the first and the last of them. Raises DamagedVersion."""
    handle = environment.open_db(Blocks.database(index), create=False)
    with environment.begin(db=handle, buffers=True) as transaction:
        found, full = transaction.stat(handle)["entries"], blocks.BLOCK_ROWS
        if found != -(-rows // full):
            raise DamagedVersion(f"{Blocks.database(index).decode()} holds {found} blocks of {rows} rows")
        cursor = transaction.cursor()
        for placed, wanted in ((cursor.first, min(rows, full)), (cursor.last, (rows - 1) % full + 1)):
            if placed() and Block(bytes(cursor.key()), memoryview(cursor.value())).count != wanted:
                raise DamagedVersion("a block does not hold the rows it should")


def hash_file(path: Path) -> FileHash:
    """The same as `havok.manifest.hash_file`, on every core."""
    size = path.stat().st_size
    offsets = range(0, size, CHUNK_BYTES)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(HASH_THREADS, thread_name_prefix="hash") as pool:
            chunks = pool.map(lambda at: hashlib.sha256(os.pread(descriptor, CHUNK_BYTES, at)).hexdigest(), offsets)
            return FileHash(bytes=size, chunks=tuple(chunks))
    finally:
        os.close(descriptor)
