"""Going back to a version that is already here.

Rule: the version rolled back from is quarantined, so that no automatic step brings it
back; making a quarantined version live takes `force`, and lifts its quarantine. Going on to
a newer version that was never live before is no way back and bars nothing. The
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
    previous: str | None  # the version that was live
    quarantined: str | None  # the same, unless this was no way back
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
        left = live if live is not None and _is_way_back(data_dir, dataset, target, live) else None
        if left is not None:
            at = now.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            journal.quarantine(data_dir, dataset, left, f"rolled back to {target} at {at}")
        try:
            warnings = activation.activate(data_dir, dataset, target, action="rollback", node=node, now=now)
        except BaseException:
            if left is not None:
                _lift(data_dir, dataset, left)
            raise
        if reason is not None:
            warnings += _lift(data_dir, dataset, target)
    return RollbackResult(
        dataset=dataset,
        version=target,
        previous=live,
        quarantined=left,
        seconds=time.monotonic() - started,
        warnings=warnings,
    )


def _is_way_back(data_dir: Path, dataset: str, target: str, live: str) -> bool:
    return target < live or any(entry.version == target for entry in journal.read(data_dir, dataset))


def _lift(data_dir: Path, dataset: str, version: str) -> tuple[str, ...]:
    """A warning when the quarantine cannot be lifted: what is live is live all the same."""
    try:
        journal.quarantine(data_dir, dataset, version, None)
    except OSError as error:
        return (f"{version} is still marked as quarantined: {error.strerror}",)
    return ()


def _target(data_dir: Path, dataset: str, to: str | None) -> str:
    if to is not None:
        return catalogue.find(data_dir, dataset, to)
    target = catalogue.previous(data_dir, dataset)
    if target is None:
        live, barred = layout.live_version(data_dir, dataset), layout.quarantined(data_dir, dataset)
        here = [
            f"{version} ({'live' if version == live else 'quarantined' if version in barred else 'never live'})"
            for version in catalogue.version_ids(data_dir, dataset)
        ]
        shown = f"; it has {', '.join(here)}: name one with --to" if len(here) > 1 else ""
        raise NoSuchVersion(f"{dataset} has no earlier version to roll back to{shown}")
    return target


def _whole(version_dir: Path) -> None:
    try:
        for name, expected in catalogue.check_files(version_dir).files.items():
            verify_file(version_dir / name, expected)
    except DamagedVersion as error:
        advice = "name another with --to, or load again"
        raise DamagedVersion(f"{version_dir.name} is damaged: {error.detail}; {advice}") from None
