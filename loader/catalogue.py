"""Which versions a dataset has, which is live, and which one to go back to.

Rule: the directory is the truth. A version is listed if its directory exists, with its
manifest or with the reason why that cannot be read; nothing is cached.
"""

from pathlib import Path

import msgspec

from havok import layout
from havok.errors import DamagedVersion, NoSuchVersion
from havok.manifest import Manifest, is_version_id, read_manifest
from loader import journal


class VersionInfo(msgspec.Struct, frozen=True):
    """`manifest` is None when `damage` says why; `quarantined` is the reason, if any."""

    version: str
    manifest: Manifest | None
    damage: str | None
    live: bool
    previous: bool
    quarantined: str | None
    bytes: int


def version_ids(data_dir: Path, dataset: str) -> list[str]:
    """Newest first."""
    directory = layout.dataset_dir(data_dir, dataset)
    if not directory.is_dir():
        return []
    return sorted(
        (path.name for path in directory.iterdir() if is_version_id(path.name) and path.is_dir()), reverse=True
    )


def versions(data_dir: Path, dataset: str) -> list[VersionInfo]:
    """Newest first."""
    live = layout.live_version(data_dir, dataset)
    before = previous(data_dir, dataset)
    barred = layout.quarantined(data_dir, dataset)
    return [
        _info(data_dir, dataset, version, live, before, barred.get(version))
        for version in version_ids(data_dir, dataset)
    ]


def _info(
    data_dir: Path, dataset: str, version: str, live: str | None, before: str | None, barred: str | None
) -> VersionInfo:
    directory = layout.version_dir(data_dir, dataset, version)
    manifest, damage = None, None
    try:
        manifest = check_files(directory)
    except DamagedVersion as error:
        damage = error.detail
    return VersionInfo(
        version=version,
        manifest=manifest,
        damage=damage,
        live=version == live,
        previous=version == before,
        quarantined=barred,
        bytes=disk_bytes(directory),
    )


def check_files(version_dir: Path) -> Manifest:
    """The manifest, its files being there in full length. Raises DamagedVersion. Reads no data."""
    manifest = read_manifest(version_dir)
    for name, expected in manifest.files.items():
        try:
            size = (version_dir / name).stat().st_size
        except OSError as error:
            raise DamagedVersion(f"{name} cannot be read: {error.strerror}") from None
        if size != expected.bytes:
            raise DamagedVersion(f"{name} has {size} bytes instead of {expected.bytes}")
    return manifest


def disk_bytes(version_dir: Path) -> int:
    """Of all files of a version; what disappears meanwhile counts as nothing."""
    total = 0
    for path in version_dir.iterdir():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def previous(data_dir: Path, dataset: str) -> str | None:
    """The version to roll back to: live before the current one, still here, not quarantined.

    Steps back through the history of activations; without one, the newest older version.
    """
    live = layout.live_version(data_dir, dataset)
    here = version_ids(data_dir, dataset)
    barred = layout.quarantined(data_dir, dataset)
    candidates = [entry.previous for entry in reversed(journal.read(data_dir, dataset)) if entry.previous]
    candidates += [version for version in here if live is None or version < live]
    for version in candidates:
        if version in here and version != live and version not in barred:
            return version
    return None


def newest_good(data_dir: Path, dataset: str, *, barring: frozenset[str] = frozenset()) -> str | None:
    """The newest version whose files are whole and which is not quarantined; what to serve when the live one is not."""
    barred = barring | layout.quarantined(data_dir, dataset).keys()
    for version in version_ids(data_dir, dataset):
        if version in barred:
            continue
        try:
            check_files(layout.version_dir(data_dir, dataset, version))
        except DamagedVersion:
            continue
        return version
    return None


def find(data_dir: Path, dataset: str, wanted: str) -> str:
    """A version by its id, or a beginning or end that only one has. Raises NoSuchVersion naming what there is."""
    here = version_ids(data_dir, dataset)
    if wanted in here:
        return wanted
    matches = [version for version in here if wanted and (version.startswith(wanted) or version.endswith(wanted))]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise NoSuchVersion(f"{dataset}: {wanted} stands for {len(matches)} versions: {', '.join(matches)}")
    if not here:
        raise NoSuchVersion(f"{dataset} has no versions; load one with `havok load {dataset}`")
    raise NoSuchVersion(f"{dataset} has no version {wanted}; it has {', '.join(here)}")
