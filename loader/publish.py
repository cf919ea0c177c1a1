"""One load, from a source to the live version: the numbered cycle.

    1 read and sort        the source, typed, sorted by key, as the twin
    2 write                rows and indexes, sealed and appended
    3 verify               structure, checksums, hashes of the files as they read back
    4 quality gates        run before 2, to fail early; the unique key is found in 2
    5 plans compile        every live plan, on the new schema: the node's answer
    6 fsync                files and directory
    7 rename               the build directory becomes the version
    8 pointer swap         the node stages the version; history line, CURRENT
    9 announce             the node flips

Rule: up to 7 nothing outside the build directory changes, up to 8 the live version
stands, and whatever fails before the swap leaves the disk as it was. A dry run ends
after 5; a load that does not activate ends after 7.
"""

import datetime
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from havok import layout
from havok.errors import DamagedVersion, LoadError, OperatorError
from havok.manifest import GateResult, Manifest, read_manifest, version_id
from havok.settings import DatasetSettings, LoaderSettings
from loader import activation, candidate, catalogue, locks, refusals, retention, schema, workspace

Waiting = Callable[[str], None]  # takes the sentence that says for whom


class LoadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`source` overrides the dataset's; `config_dir` is where relative sources start."""

    data_dir: Path
    dataset: str
    settings: DatasetSettings
    config_dir: Path
    loader: LoaderSettings = LoaderSettings()
    source: str | None = None
    mode: candidate.Mode = "full"
    dry_run: bool = False
    activate: bool = True


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """`version` of a dry run is the id it would have had; `drift`: sentences against the live version."""

    dataset: str
    version: str
    rows: int
    activated: bool
    seconds: float
    bytes: int
    nonfinite: int = 0
    gates: tuple[GateResult, ...] = ()
    drift: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()  # versions that retention collected
    previous: str | None = None  # the live version when the load began
    previous_rows: int | None = None


def publish(
    request: LoadRequest,
    node: activation.NodeHooks,
    progress: candidate.Progress,
    *,
    now: datetime.datetime | None = None,
    waiting: Waiting | None = None,
) -> LoadResult:
    """Raises LoadError or GateFailed with the reason, DatasetBusy, or what the node's hooks raise.

    Then nothing changed, but that the refusal is on record. With `waiting` a node's first load is waited for.
    """
    source = _source(request)
    with locks.dataset_lock(request.data_dir, request.dataset, waiting=waiting) as directory:
        return _publish(request, source, directory, node, progress, now)


def publish_first(
    request: LoadRequest, node: activation.NodeHooks, progress: candidate.Progress, waiting: Waiting
) -> LoadResult | None:
    """The same for a dataset without a version, after waiting for any other load; None when that has brought one."""
    source = _source(request)
    with locks.dataset_lock(request.data_dir, request.dataset, first=True, waiting=waiting) as directory:
        if layout.live_version(request.data_dir, request.dataset) is not None:
            return None
        return _publish(request, source, directory, node, progress, None)


def _source(request: LoadRequest) -> str:
    source = request.source or request.settings.source
    if source is None:
        raise LoadError(f"{request.dataset} has no source; give one: `havok load {request.dataset} FILE`")
    return source


def _publish(
    request: LoadRequest,
    source: str,
    directory: Path,
    node: activation.NodeHooks,
    progress: candidate.Progress,
    now: datetime.datetime | None,
) -> LoadResult:
    """The cycle under the dataset's lock, and what is on record of it."""
    started = time.monotonic()
    try:
        workspace.collect_orphans(directory)
        with workspace.building(directory) as build:
            result = _cycle(request, source, build, node, progress, now)
        removed = () if request.dry_run else _collect(request, result.version)
    except RuntimeError as error:
        if "interrupted" in str(error).lower():  # how DuckDB passes on a Ctrl-C
            raise KeyboardInterrupt from None
        raise
    except OperatorError as error:
        _record(request, error.detail, now)
        raise
    except OSError as error:
        reason = f"{error.filename or request.data_dir}: {error.strerror or error}"
        _record(request, reason, now)
        raise LoadError(reason) from None
    if not request.dry_run:
        refusals.forget(request.data_dir, request.dataset)
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - started, 3), removed=removed)


def _record(request: LoadRequest, reason: str, now: datetime.datetime | None) -> None:
    if not request.dry_run:
        refusals.record(request.data_dir, request.dataset, reason, now or datetime.datetime.now(datetime.UTC))


def _cycle(
    request: LoadRequest,
    source: str,
    build: Path,
    node: activation.NodeHooks,
    progress: candidate.Progress,
    now: datetime.datetime | None,
) -> LoadResult:
    live_id, live, warned = _live(request)
    order = candidate.Order(
        dataset=request.dataset,
        settings=request.settings,
        loader=request.loader,
        source=source,
        config_dir=request.config_dir,
        mode=request.mode,
        live_dir=layout.version_dir(request.data_dir, request.dataset, live.version) if live else None,
        live=live,
    )
    # Steps 1 to 4, in the order 1, 4, 2, 3.
    built = candidate.build(order, build, progress)
    now = now or datetime.datetime.now(datetime.UTC)
    version, created = _next_id(request, built.content_hash, now)
    manifest = candidate.write_manifest(order, built, version, created, build)

    progress.step(5, "plans compile")
    node.accept(manifest)
    result = LoadResult(
        dataset=request.dataset,
        version=version,
        rows=built.rows,
        activated=False,
        seconds=0.0,
        bytes=catalogue.disk_bytes(build),
        nonfinite=built.nonfinite,
        gates=built.gates,
        drift=schema.drift(_pairs(live), built.schema.pairs) if live else (),
        previous=live_id,
        previous_rows=live.rows if live else None,
        warnings=warned,
    )
    if request.dry_run:
        return result

    progress.step(6, "fsync")
    for path in sorted(build.iterdir()):
        workspace.sync_file(path)
    workspace.sync_dir(build)

    progress.step(7, "rename")
    placed = layout.version_dir(request.data_dir, request.dataset, version)
    try:
        workspace.place(build, placed)
        if not request.activate:
            return result
        progress.step(8, "pointer swap")
        warnings = activation.activate(
            request.data_dir,
            request.dataset,
            version,
            action="load",
            node=node,
            now=now,
            swapped=lambda: progress.step(9, "announce"),
        )
    except BaseException:
        if layout.live_version(request.data_dir, request.dataset) != version and placed.exists():
            workspace.remove_version(placed)
        raise
    return msgspec.structs.replace(result, activated=True, warnings=warned + warnings)


def _live(request: LoadRequest) -> tuple[str | None, Manifest | None, tuple[str, ...]]:
    """(the live version, the manifest to measure against, warnings).

    Where the live version is damaged that is the newest good one's, which is what a node serves then.
    """
    live = layout.live_version(request.data_dir, request.dataset)
    if live is None:
        return None, None, ()
    try:
        return live, read_manifest(layout.version_dir(request.data_dir, request.dataset, live)), ()
    except DamagedVersion as error:
        if request.mode == "upsert":
            raise LoadError(f"the live version cannot be merged into: {error.detail}; load in full") from None
        damage = error.detail
    good = catalogue.newest_good(request.data_dir, request.dataset, barring=frozenset({live}))
    if good is None:
        return live, None, (f"{damage}; nothing was there to measure the new version against",)
    found = read_manifest(layout.version_dir(request.data_dir, request.dataset, good))
    return live, found, (f"{damage}; the new version was measured against {good}",)


def _next_id(request: LoadRequest, content_hash: str, now: datetime.datetime) -> tuple[str, datetime.datetime]:
    """An id after every other, a second later than the newest where the clock is not: ids sort by age."""
    newest = next(iter(catalogue.version_ids(request.data_dir, request.dataset)), None)
    if newest is not None:
        now = max(now, version_time(newest) + datetime.timedelta(seconds=1))
    return version_id(now, content_hash), now


def version_time(version: str) -> datetime.datetime:
    """When a version was built, from its id; whole seconds, UTC."""
    return datetime.datetime.strptime(version[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)


def _collect(request: LoadRequest, placed: str) -> tuple[str, ...]:
    """The load is done: what cannot be removed now is removed after the next one."""
    try:
        return tuple(retention.collect(request.data_dir, request.dataset, request.settings.keep_versions, placed))
    except OSError:
        return ()


def _pairs(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in manifest.columns)
