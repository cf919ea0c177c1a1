"""Who may change a dataset, and whether a version is in use.

Rule: locks are flocks, so that a dead process holds none. The dataset's `lock` is held
by a load, rollback or collection for all its duration and a second one is refused at
once; a version is in use while anyone holds a shared lock on its manifest.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from havok import layout
from havok.errors import LoadError
from havok.manifest import MANIFEST_FILE


@contextmanager
def dataset_lock(data_dir: Path, dataset: str) -> Iterator[Path]:
    """Yields the dataset's directory, made if need be. Raises LoadError when another process holds it."""
    directory = layout.dataset_dir(data_dir, dataset)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LoadError(f"{directory} cannot be written: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            by = f"process {holder}" if holder else "another process"
            raise LoadError(f"{dataset} is being loaded or rolled back by {by}; wait until it is done") from None
        _sign(descriptor)
        yield directory
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """The pid is a courtesy to whoever is refused: a full disk must not refuse a rollback."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError:
        pass


@contextmanager
def lease(version_dir: Path) -> Iterator[None]:
    """Keeps a version from being collected while it is read. Raises FileNotFoundError when it is gone."""
    descriptor = os.open(version_dir / MANIFEST_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Whether nobody holds a lock on a file or directory; while the block runs, nobody gets one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
