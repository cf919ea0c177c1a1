"""Which version of each dataset is to be served: the pointer's, or the newest good one.

Rule: reads pointers and manifests, writes nothing. A version is good until it is found
damaged: by its manifest or file size here, by its hashes or a row's checksum in a worker.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from havok.errors import DamagedVersion
from havok.layout import dataset_dir, live_version, quarantined, version_dir
from havok.manifest import Manifest, is_version_id, read_manifest


class Choice(msgspec.Struct, frozen=True):
    """`fault`: why it is not the version the pointer names; None when it is."""

    manifest: Manifest | None
    pointer: str | None
    fault: str | None = None
    standby: str | None = None  # the newest good version before it


def versions(data_dir: Path, dataset: str) -> list[str]:
    """Ids of all versions on disk, newest first."""
    try:
        names = os.listdir(dataset_dir(data_dir, dataset))
    except FileNotFoundError:
        return []
    return sorted((name for name in names if is_version_id(name)), reverse=True)


def choose(data_dir: Path, dataset: str, damaged: dict[str, str]) -> Choice:
    """`damaged`: versions that workers found broken, and how, the last found last.

    Raises OSError for a shortage (`havok.manifest`), which says nothing of a version.
    """
    pointer = live_version(data_dir, dataset)
    if pointer is None:
        return Choice(None, None)
    faults: list[str] = []
    barred = quarantined(data_dir, dataset).keys() - {pointer}
    older = [version for version in versions(data_dir, dataset) if version < pointer]
    good: list[Manifest] = []
    tried: dict[str, Manifest] = {}  # damaged, as far as a worker could tell
    for version in (pointer, *older):
        if len(good) == 2:
            break
        try:
            if version in barred:
                raise DamagedVersion(f"version {version} is quarantined")
            manifest = _check(data_dir, dataset, version)
            if version in damaged:
                tried[version] = manifest
                raise DamagedVersion(f"version {version} is damaged: {damaged[version]}")
            good.append(manifest)
        except DamagedVersion as error:
            faults.append(error.detail)
    if not good and tried:
        # The last that served: its rows prove themselves one by one, and the whole ones are worth having.
        last = next(version for version in reversed(damaged) if version in tried)
        what = f"{dataset}: version {last} is damaged: {damaged[last]}"
        return Choice(
            tried[last],
            pointer,
            f"{what}, and there is no other; what workers have open is served row by row, "
            f"the damaged ones refused. Load again: havok load {dataset}",
        )
    if not good:
        return Choice(None, pointer, f"no version of {dataset} can be served: {faults[0]}; load it again")
    fault: str | None = None
    if good[0].version != pointer:
        fault = f"{dataset}: {faults[0]}; serving {good[0].version} instead. Load again, or: havok rollback {dataset}"
    return Choice(good[0], pointer, fault, good[1].version if len(good) > 1 else None)


def live_manifests(data_dir: Path, datasets: Iterable[str]) -> dict[str, Manifest]:
    """Of each dataset that has a version to serve."""
    found = {name: choose(data_dir, name, {}).manifest for name in datasets}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def _check(data_dir: Path, dataset: str, version: str) -> Manifest:
    """What can be told without reading the rows. Raises DamagedVersion."""
    path = version_dir(data_dir, dataset, version)
    manifest = read_manifest(path)
    if (manifest.dataset, manifest.version) != (dataset, version):
        raise DamagedVersion(f"the manifest of {dataset}@{version} is that of {manifest.dataset}@{manifest.version}")
    for name, expected in manifest.files.items():
        try:
            size = (path / name).stat().st_size
        except OSError as error:
            raise DamagedVersion(f"{name} of version {version} cannot be read: {error.strerror}") from None
        if size != expected.bytes:
            raise DamagedVersion(f"{name} of version {version} has {size} bytes instead of {expected.bytes}")
    return manifest
