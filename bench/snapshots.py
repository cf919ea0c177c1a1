"""Snapshots for benchmarks of single parts: published by the loader, opened without a node."""

from pathlib import Path

from engine.snapshot import Snapshot, open_snapshot
from havok.layout import version_dir
from havok.settings import DatasetSettings, LoaderSettings
from loader.activation import NoNode
from loader.candidate import Progress, Silent
from loader.publish import LoadRequest, LoadResult, publish


def load(
    data_dir: Path,
    dataset: str,
    key: tuple[str, ...],
    source: str,
    *,
    indexes: dict[str, tuple[str, ...]] | None = None,
    loader: LoaderSettings | None = None,
    progress: Progress | None = None,
) -> LoadResult:
    """The whole cycle; the new version is live on disk. Raises LoadError."""
    request = LoadRequest(
        data_dir=data_dir,
        dataset=dataset,
        settings=DatasetSettings(key=key, indexes=indexes or {}),
        config_dir=data_dir,
        loader=loader or LoaderSettings(),
        source=source,
    )
    return publish(request, NoNode(), progress or Silent())


def loaded(
    data_dir: Path,
    dataset: str,
    key: tuple[str, ...],
    source: str,
    indexes: dict[str, tuple[str, ...]] | None = None,
) -> Snapshot:
    """A new version of the dataset, open; the caller releases it."""
    result = load(data_dir, dataset, key, source, indexes=indexes)
    return open_snapshot(version_dir(data_dir, dataset, result.version))
