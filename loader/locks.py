"""Who may change a dataset, and whether a version is in use.

Rule: locks are flocks, so that a dead process holds none. The dataset's `lock` is held
by a load, rollback or collection for all its duration and a second one is refused at
once, except that a person's load and a node's own first load wait for each other; a
version is in use while anyone holds a shared lock on its manifest.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from havok import layout
from havok.errors import DatasetBusy, LoadError
from havok.manifest import MANIFEST_FILE

_FIRST = "first"  # stands behind the pid of a first load


@contextmanager
def dataset_lock(
    data_dir: Path, dataset: str, *, first: bool = False, waiting: Callable[[str], None] | None = None
) -> Iterator[Path]:
    """Yields the dataset's directory, made if need be. Raises DatasetBusy when another process holds it.

    `first`: this is the load that a node starts for a dataset without a version. It waits for whoever holds the
    lock, and whoever can wait does so for it: nobody asked for it, so nobody is to be refused for its sake.
    `waiting`, for who can, is called with a sentence before the wait.
    """
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
            _wait(descriptor, dataset, first, waiting)
        _sign(descriptor, first)
        yield directory
    finally:
        os.close(descriptor)


def _wait(descriptor: int, dataset: str, first: bool, waiting: Callable[[str], None] | None) -> None:
    """Until the lock is had; a signal's handler that raises ends the wait. Raises DatasetBusy."""
    pid, _, mark = os.pread(descriptor, 32, 0).decode(errors="replace").strip().partition(" ")
    by = f"process {pid}" if pid else "another process"
    if waiting is None or not (first or mark == _FIRST):
        raise DatasetBusy(
            f"{dataset} is being loaded or rolled back by {by}; wait until it is done: havok versions {dataset} "
            f"shows what came of it"
        )
    who = f"the node, as its first version ({by})" if mark == _FIRST else by
    waiting(f"{dataset} is being loaded by {who}; waiting until that is done")
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _sign(descriptor: int, first: bool) -> None:
    """The pid is a courtesy to whoever is refused: a full disk must not refuse a rollback."""
    signed = f"{os.getpid()} {_FIRST}" if first else str(os.getpid())
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, signed.encode(), 0)
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
