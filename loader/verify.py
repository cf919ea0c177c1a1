"""Reading a whole version against everything it says of itself.

Rule: nothing is taken on trust. Files are hashed first, and only if they are what was
written are they followed: the key order of each sub-database is walked, and every row and
index entry that the twin says there is must be found, intact and equal to one rendered
anew. The twin, another program's format, is the oracle. Findings are sentences; none
means good.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

import duckdb
import lmdb

from havok import layout
from havok.blocks import WORDS_DB, Blocks
from havok.errors import DamagedVersion, LoadError
from havok.keys import bounded
from havok.manifest import ROWS_DB, ROWS_FILE, TWIN_FILE, Manifest, verify_file
from havok.rows import unseal
from havok.settings import LoaderSettings
from loader import blocks, catalogue, duck, locks, rowfile, twin, workspace
from loader.schema import Schema

_BATCH_ROWS = 1024


def verify(
    data_dir: Path,
    dataset: str,
    version: str,
    settings: LoaderSettings,
    *,
    rows: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """The findings. `version` may be shortened as in a rollback. Raises NoSuchVersion."""
    directory = layout.version_dir(data_dir, dataset, catalogue.find(data_dir, dataset, version))
    try:
        manifest = catalogue.check_files(directory)
    except DamagedVersion as error:
        return [error.detail]
    findings = []
    if (manifest.dataset, manifest.version) != (dataset, directory.name):
        findings.append(f"the manifest is of {manifest.dataset} {manifest.version}")
    with locks.lease(directory):
        for name, expected in manifest.files.items():
            try:
                verify_file(directory / name, expected)
            except DamagedVersion as error:
                findings.append(error.detail)
        if findings:  # a page that is not what was written may lead anywhere: do not follow it
            return findings
        try:
            findings += _walk(directory, manifest, settings, rows)
        except DamagedVersion as error:
            findings.append(error.detail)
        except LoadError as error:
            findings.append(f"{TWIN_FILE}: {error.detail}")
        except lmdb.Error as error:
            findings.append(f"{ROWS_FILE}: {error}")
    return findings


def _walk(directory: Path, manifest: Manifest, settings: LoaderSettings, rows: Callable[[int, int], None]) -> list[str]:
    environment = rowfile.open_readonly(directory / ROWS_FILE, manifest.databases)
    try:
        findings = list(_entries(environment, manifest))
        with (
            workspace.building(directory.parent) as spill,
            duck.session(settings, spill) as connection,
        ):
            try:
                findings += _against_twin(connection, environment, manifest, directory / TWIN_FILE, rows)
            except duckdb.Error as error:
                raise LoadError(duck.explain(error)) from None
        return findings
    finally:
        environment.close()


def _entries(environment: lmdb.Environment, manifest: Manifest) -> Iterator[str]:
    """Counts and key order of each sub-database, as the file itself gives them."""
    for database in (ROWS_DB, *(index.database for index in manifest.indexes)):
        handle = environment.open_db(database, create=False)
        with environment.begin(db=handle) as transaction:
            entries, before, disordered = 0, b"", 0
            for key in transaction.cursor().iternext(keys=True, values=False):
                entries += 1
                disordered += not before < key
                before = key
        if entries != manifest.rows:
            yield f"{database.decode()} holds {entries} entries instead of {manifest.rows}"
        if disordered:
            yield f"{database.decode()}: {disordered} keys are out of order"


def _against_twin(
    connection: duck.Session,
    environment: lmdb.Environment,
    manifest: Manifest,
    twin_path: Path,
    rows: Callable[[int, int], None],
) -> list[str]:
    """Each row and index entry that the twin says there is, looked up and compared whole."""
    oracle = twin.open_twin(connection, twin_path)
    found = tuple((column, str(kind)) for column, kind in oracle.columns)
    schema = Schema(columns=manifest.columns, key=manifest.key, indexes=manifest.indexes)
    if found != schema.pairs:
        return [f"{TWIN_FILE} has other columns than the manifest"]
    (count,) = duck.one(connection, f"SELECT count(*) FROM {oracle.table}")
    if count != manifest.rows:
        return [f"{TWIN_FILE} holds {count} rows instead of {manifest.rows}"]
    findings = _lookup(
        connection, environment, ROWS_DB, twin.rows_query(oracle, schema.key), lambda done: rows(done, manifest.rows)
    )
    for index in schema.indexes:
        query = twin.index_query(oracle, schema.key, index)
        findings += _lookup(connection, environment, index.database, query, lambda _: None)
    return findings + _blocks(connection, environment, manifest, oracle, schema)


def _blocks(
    connection: duck.Session, environment: lmdb.Environment, manifest: Manifest, oracle: twin.Twin, schema: Schema
) -> list[str]:
    """Blocks and words, compared with those that are made anew."""
    if manifest.format == 1:
        return []
    made = blocks.plan(connection, oracle, schema)
    if made.blocks != manifest.blocks:
        return ["the manifest says otherwise how columns are packed than the twin's values do"]
    indexes = {index.name: index for index in schema.indexes}
    if made.blocks is None:
        return []
    wanted: list[tuple[bytes, Iterable[blocks.Entries]]] = [(WORDS_DB, [blocks.words(made)])]
    for order in made.orders:
        query = twin.ordered(oracle, schema.key, None if order is None else indexes[order])
        wanted.append((Blocks.database(order), blocks.entries(connection, query, made)))
    findings = []
    for database, batches in wanted:
        with environment.begin(db=environment.open_db(database, create=False)) as transaction:
            stored = iter(transaction.cursor())
            anew = (entry for batch in batches for entry in batch)
            different = sum(entry != other for entry, other in zip_longest(anew, stored))
        if different:
            findings.append(f"{database.decode()}: {different} entries different from the twin")
    return findings


def _lookup(
    connection: duck.Session,
    environment: lmdb.Environment,
    database: bytes,
    query: str,
    done: Callable[[int], None],
) -> list[str]:
    missing = damaged = different = count = 0
    with environment.begin(db=environment.open_db(database, create=False)) as transaction:
        result = connection.execute(query)
        while batch := result.fetchmany(_BATCH_ROWS):
            for encoding, body in batch:
                value = transaction.get(bounded(encoding))
                if value is None:
                    missing += 1
                    continue
                try:
                    different += unseal(encoding, value) != body
                except DamagedVersion:
                    damaged += 1
            count += len(batch)
            done(count)
    name = database.decode()
    report = {
        "missing that the twin has": missing,
        "failing their checksum": damaged,
        "different from the twin": different,
    }
    return [f"{name}: {number} of {count} entries {what}" for what, number in report.items() if number]
