"""Which versions are kept, and the removal of the others.

Rule: `keep` newest versions stay, quarantined ones counting like any other but leaving
first; the live one, the one a rollback would return to, and any that someone reads stay
whatever their age. `surplus` decides, `collect` removes.
"""

from collections.abc import Sequence
from pathlib import Path

from havok import layout
from havok.manifest import MANIFEST_FILE
from loader import catalogue, journal, locks, workspace


def surplus(
    newest_first: Sequence[str], *, keep: int, needed: frozenset[str], quarantined: frozenset[str]
) -> list[str]:
    """The versions to remove, in the order of removal: quarantined, then oldest first."""
    excess = len(newest_first) - max(keep, 1)
    free = [version for version in reversed(newest_first) if version not in needed]
    order = [version for version in free if version in quarantined]
    order += [version for version in free if version not in quarantined]
    return order[: max(excess, 0)]


def collect(data_dir: Path, dataset: str, keep: int, placed: str | None = None) -> list[str]:
    """Removes surplus versions; which ones. `placed` stays: it is yet to go live. The dataset's lock is held."""
    needed = {layout.live_version(data_dir, dataset), catalogue.previous(data_dir, dataset), placed} - {None}
    removed = []
    for version in surplus(
        catalogue.version_ids(data_dir, dataset),
        keep=keep,
        needed=frozenset(version for version in needed if version),
        quarantined=frozenset(layout.quarantined(data_dir, dataset)),
    ):
        directory = layout.version_dir(data_dir, dataset, version)
        with locks.unused(directory / MANIFEST_FILE) as free:
            if not free:
                continue
            workspace.remove_version(directory)
        journal.quarantine(data_dir, dataset, version, None)
        removed.append(version)
    return removed
