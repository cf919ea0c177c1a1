"""One open version of a dataset, read-only and memory-mapped, held by leases.

Rule: a snapshot opens only after its files were found to be what the manifest says, and
closes when nobody holds a lease. Its file is immutable, so one read transaction serves
for its whole life; LMDB's own locks are off. While open, a shared flock on the manifest
tells retention, in any process, that the version is in use.
"""

import fcntl
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import lmdb
import msgspec
from isal.isal_zlib import crc32

from havok.blocks import WORDS_DB, Blocks
from havok.errors import DamagedVersion, StoreDown
from havok.keys import bounded
from havok.manifest import MANIFEST_FILE, ROWS_DB, ROWS_FILE, SHORTAGES, Manifest, read_manifest, verify_file
from havok.rows import RESIDUE, unseal

_ASTRAY = "an entry is damaged or out of its place"
_SHORTAGE_WORDS = frozenset(os.strerror(number) for number in SHORTAGES)


def verify_snapshot(version_dir: Path) -> Manifest:
    """Reads the whole rows file against its hashes, which also warms its pages.

    Blocking, releases the GIL: call it off the loop. Raises DamagedVersion, OSError for a shortage.
    """
    manifest = read_manifest(version_dir)
    expected = manifest.files.get(ROWS_FILE)
    if expected is None:
        raise DamagedVersion(f"the manifest of version {version_dir.name} names no {ROWS_FILE}")
    verify_file(version_dir / ROWS_FILE, expected)
    return manifest


def _at_once(close: Callable[[], None]) -> None:
    close()


class Snapshot:
    """`get(key) -> value | None` reads the rows. Open each version once in a process."""

    def __init__(
        self,
        version_dir: Path,
        manifest: Manifest,
        on_damage: Callable[["Snapshot", str], None] | None = None,
        aside: Callable[[Callable[[], None]], object] = _at_once,
    ) -> None:
        """Opens a verified version with one lease, the caller's.

        Raises DamagedVersion; OSError when the machine lacks the means now (`SHORTAGES`).
        `aside(close)` runs the closing where it holds nobody up: unmapping takes 20 ms/GB.
        """
        self.manifest = manifest
        self.dataset = manifest.dataset
        self.version = manifest.version
        self._on_damage = on_damage
        self._aside = aside
        self._leases = 1
        self._words_of: dict[str, list[str | None]] = {}  # once for all services
        try:
            self._lock_fd = os.open(version_dir / MANIFEST_FILE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unopened(MANIFEST_FILE, error) from None
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path = version_dir / ROWS_FILE
            self._environment = lmdb.open(
                str(path),
                subdir=False,
                readonly=True,
                lock=False,
                readahead=False,
                map_size=os.path.getsize(path),
                max_dbs=manifest.databases,
            )
        except (lmdb.Error, OSError) as error:
            os.close(self._lock_fd)
            raise self._unopened(ROWS_FILE, error) from None
        try:
            rows = self._environment.open_db(ROWS_DB, create=False)
            self._databases = {None: rows} | {
                index.name: self._environment.open_db(index.database, create=False) for index in manifest.indexes
            }
            orders = () if manifest.blocks is None else manifest.blocks.orders
            self._blocks = {index: self._environment.open_db(Blocks.database(index), create=False) for index in orders}
            self._words = None if manifest.blocks is None else self._environment.open_db(WORDS_DB, create=False)
            self._transaction = self._environment.begin(db=rows)
            self._views = self._environment.begin(buffers=True)
            entries = self._transaction.stat(rows)["entries"]
        except lmdb.Error as error:
            self._environment.close()
            os.close(self._lock_fd)
            raise self._unopened(ROWS_FILE, error) from None
        self.get: Callable[[bytes], bytes | None] = self._transaction.get
        if entries != manifest.rows:
            self.release()
            raise DamagedVersion(f"version {self.version} holds {entries} rows, its manifest says {manifest.rows}")

    def _unopened(self, name: str, error: Exception) -> Exception:
        """The error to raise for one of the system or of LMDB, without the path in its words."""
        reason = getattr(error, "strerror", None) or str(error).rpartition(": ")[2]
        if reason in _SHORTAGE_WORDS or isinstance(error, lmdb.MemoryError):
            return OSError(getattr(error, "errno", None), reason)
        return DamagedVersion(f"{name} of version {self.version} cannot be opened: {reason}")

    @property
    def row_bytes(self) -> int:
        """The mean of what a row takes of the file."""
        stored = self.manifest.files.get(ROWS_FILE)
        return 0 if stored is None else stored.bytes // max(1, self.manifest.rows)

    def cursor_of(self, index: str | None) -> Callable[[], lmdb.Cursor]:
        """→ a function that makes cursors over the rows (None) or over an index's entries."""
        return partial(self._transaction.cursor, db=self._databases[index])

    def blocks_of(self, index: str | None) -> Callable[[], lmdb.Cursor]:
        """→ a function that makes cursors over the blocks of the key's order (None) or an index's, by views.

        A view lasts as long as a lease.
        """
        return partial(self._views.cursor, db=self._blocks[index])

    def words(self, column: str) -> list[str | None]:
        """What the words of a packed column stand for. Raises DamagedVersion."""
        found = self._words_of.get(column)
        if found is None:
            name = column.encode()
            value = self._transaction.get(bounded(name), db=self._words)
            body = None if value is None else unseal(name, value)
            if body is None:
                raise DamagedVersion(f"the words of column {column} are missing")
            found = self._words_of[column] = msgspec.msgpack.decode(body, type=list[str | None])
        return found

    def acquire(self) -> None:
        assert self._leases > 0, "a closed snapshot cannot be leased"
        self._leases += 1

    def release(self) -> None:
        """Gives one lease back; the last one closes the file."""
        self._leases -= 1
        if self._leases == 0:
            self._aside(self._close)

    def _close(self) -> None:
        self._transaction.abort()
        self._views.abort()
        self._environment.close()
        os.close(self._lock_fd)

    @property
    def closed(self) -> bool:
        return self._leases == 0

    def check_gap(self, key: bytes) -> int:
        """Checks the entries on both sides of a key that `get` did not find; their mean size in bytes.

        A checksum covers its entry's key, but a key that is damaged is looked for in vain. The
        search ends beside it, wherever it leads astray: there an entry fails its checksum, or
        when the fault is in a branch page, stands on the wrong side or is the one looked for.
        Raises DamagedVersion.
        """
        cursor = self._transaction.cursor()
        size = 0
        if cursor.set_range(key):
            after, value = cursor.item()
            astray = after < key or (after == key and self.get(key) is None)  # else another key's hash
            if astray or crc32(value, crc32(after)) != RESIDUE:
                raise DamagedVersion(_ASTRAY)
            size = len(value)
            more = cursor.prev()
        else:
            more = cursor.last()
        if more:
            before, value = cursor.item()
            if before >= key or crc32(value, crc32(before)) != RESIDUE:
                raise DamagedVersion(_ASTRAY)
            size += len(value)
        return size >> 1

    def report_damage(self, reason: str) -> None:
        """A row was found broken after opening: tell whoever can bring another version."""
        if self._on_damage is not None:
            self._on_damage(self, reason)


def open_snapshot(version_dir: Path, on_damage: Callable[[Snapshot, str], None] | None = None) -> Snapshot:
    """Verifies and opens. Raises DamagedVersion, OSError for a shortage."""
    return Snapshot(version_dir, verify_snapshot(version_dir), on_damage)


def store_fault(error: Exception, snapshots: Iterable[Snapshot]) -> StoreDown | None:
    """What an error of LMDB's means to a caller, and to those who hold the snapshots; None for any other error."""
    if not isinstance(error, lmdb.Error):
        return None
    for snapshot in snapshots:
        snapshot.report_damage(f"the rows cannot be read: {error}")
    return StoreDown("the stored rows cannot be read")
