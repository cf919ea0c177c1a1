"""The directory a version is built in, and how it becomes the version.

Rule: a build lives in `.build-<random>`, locked by its builder, and either is renamed to
a version whole and on disk, or disappears. One that nobody locks was left by a builder
that died, and the next load removes it.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loader import locks

PREFIX = ".build-"
_GONE = PREFIX + "gone-"


@contextmanager
def building(dataset_dir: Path) -> Iterator[Path]:
    """A new locked build directory, removed at the end unless it was renamed."""
    path = dataset_dir / f"{PREFIX}{secrets.token_hex(6)}"
    path.mkdir(mode=0o755)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def collect_orphans(dataset_dir: Path) -> int:
    """Removes builds whose builder is dead, and half-written pointers; how many builds."""
    count = 0
    for path in dataset_dir.glob(f"{PREFIX}*"):
        with locks.unused(path) as free:
            if free:
                shutil.rmtree(path, ignore_errors=True)
                count += 1
    return count


def place(build: Path, version: Path) -> None:
    """Renames a finished build; on disk when it returns."""
    os.rename(build, version)
    sync_dir(version.parent)


def remove_version(version: Path) -> None:
    """Takes a version away in one step, so that none is ever seen half deleted."""
    gone = version.with_name(f"{_GONE}{version.name}-{secrets.token_hex(3)}")
    os.rename(version, gone)
    shutil.rmtree(gone, ignore_errors=True)


def sync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, and after a crash too."""
    temporary = path.with_name(path.name + ".new")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)
