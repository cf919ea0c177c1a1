"""Going back to a version that is already here.

Rule: the version rolled back from is quarantined, so that no automatic step brings it
back; making a quarantined version live takes `force`, and lifts its quarantine. The
target's files are hashed before the node hears of it: a rollback must not be the second
fault of the day.
"""

import datetime
import time
from pathlib import Path

import msgspec

from havok import layout
from havok.errors import DamagedVersion, NoSuchVersion, OperatorError
from havok.manifest import verify_file
from loader import activation, catalogue, journal, locks


class RollbackResult(msgspec.Struct, frozen=True):
    dataset: str
    version: str
    previous: str | None  # the version that was live, now quarantined
    seconds: float
    warnings: tuple[str, ...] = ()


def rollback(
    data_dir: Path,
    dataset: str,
    node: activation.NodeHooks,
    *,
    to: str | None = None,
    force: bool = False,
    now: datetime.datetime | None = None,
) -> RollbackResult:
    """Raises NoSuchVersion, DamagedVersion, or OperatorError for a quarantined target; then nothing changed."""
    started = time.monotonic()
    now = now or datetime.datetime.now(datetime.UTC)
    if not layout.dataset_dir(data_dir, dataset).is_dir():
        raise NoSuchVersion(f"{dataset} has no versions; load one with `havok load {dataset}`")
    with locks.dataset_lock(data_dir, dataset):
        live = layout.live_version(data_dir, dataset)
        target = _target(data_dir, dataset, to)
        if target == live:
            raise OperatorError(f"{dataset}: {target} is live already")
        reason = layout.quarantined(data_dir, dataset).get(target)
        if reason is not None and not force:
            raise OperatorError(f"{dataset}: {target} is quarantined ({reason}); add --force to make it live again")
        _whole(layout.version_dir(data_dir, dataset, target))
        warnings = activation.activate(data_dir, dataset, target, action="rollback", node=node, now=now)
        if reason is not None:
            journal.quarantine(data_dir, dataset, target, None)
        if live is not None:
            at = now.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            journal.quarantine(data_dir, dataset, live, f"rolled back to {target} at {at}")
    return RollbackResult(
        dataset=dataset, version=target, previous=live, seconds=time.monotonic() - started, warnings=warnings
    )


def _target(data_dir: Path, dataset: str, to: str | None) -> str:
    if to is not None:
        return catalogue.find(data_dir, dataset, to)
    target = catalogue.previous(data_dir, dataset)
    if target is None:
        here = catalogue.version_ids(data_dir, dataset)
        shown = f"; it has {', '.join(here)}" if here else ""
        raise NoSuchVersion(f"{dataset} has no earlier version to roll back to{shown}")
    return target


def _whole(version_dir: Path) -> None:
    try:
        for name, expected in catalogue.check_files(version_dir).files.items():
            verify_file(version_dir / name, expected)
    except DamagedVersion as error:
        raise DamagedVersion(f"{version_dir.name} is damaged: {error.detail}") from None
