"""`havok versions`, `rollback`, `diff` and `verify`: a dataset's versions on disk.

Rule: needs the data directory alone; a running node is told of a rollback, nothing more.
"""

from typing import Any

import msgspec

from console import terminal
from console.node import Hooks
from console.workplace import Workplace
from havok.errors import NoSuchVersion
from havok.layout import live_version
from loader import catalogue


def versions(place: Workplace, dataset: str, *, as_json: bool) -> None:
    _known(place, dataset)
    found = catalogue.versions(place.data_dir, dataset)
    if as_json:
        terminal.print_json({"dataset": dataset, "versions": [_document(item) for item in found]})
        return
    rows = [
        [
            item.version,
            f"{item.manifest.rows:,}" if item.manifest else "",
            terminal.size(item.bytes),
            item.manifest.created if item.manifest else "",
            _state(item),
        ]
        for item in found
    ]
    terminal.print_table(["VERSION", "ROWS", "SIZE", "CREATED", "STATE"], rows, numbers=("ROWS", "SIZE"))


def _document(item: catalogue.VersionInfo) -> dict[str, Any]:
    manifest = item.manifest
    return {
        "version": item.version,
        "rows": manifest.rows if manifest else None,
        "bytes": item.bytes,
        "created": manifest.created if manifest else None,
        "source": manifest.source if manifest else None,
        "live": item.live,
        "previous": item.previous,
        "quarantined": item.quarantined,
        "damaged": item.damage,
    }


def _state(item: catalogue.VersionInfo) -> str:
    states = [terminal.paint("live", "green")] if item.live else []
    states += ["previous"] if item.previous else []
    states += [terminal.paint(f"quarantined: {item.quarantined}", "yellow")] if item.quarantined else []
    states += [terminal.paint(f"damaged: {item.damage}", "red")] if item.damage else []
    return ", ".join(states)


def rollback(place: Workplace, dataset: str, to: str | None, *, force: bool, as_json: bool) -> None:
    """Raises NoSuchVersion, DamagedVersion, or NodeError when the node refuses; then nothing changed."""
    from loader.rollback import rollback

    _known(place, dataset)
    with Hooks(place.data_dir, place.settings) as hooks:
        result = rollback(place.data_dir, dataset, hooks, to=to, force=force)
    flipped = hooks.flipped or {}
    if as_json:
        document: dict[str, Any] = msgspec.to_builtins(result)
        terminal.print_json(document | {"workers": flipped.get("workers", 0), "flip_ms": flipped.get("ms")})
        return
    where = "no node is running"
    if hooks.flipped is not None:
        where = f"live on {terminal.plural(flipped['workers'], 'worker')} in {flipped['ms']:.0f} ms"
    if result.quarantined is not None:
        terminal.say(f"{dataset}: back to {result.version}, {where}; {result.quarantined} is quarantined")
    else:
        before = f"; {result.previous} is the one before" if result.previous else ""
        terminal.say(f"{dataset}: now {result.version}, {where}{before}")
    for sentence in result.warnings:
        terminal.warn(sentence)


def diff(place: Workplace, dataset: str, before: str, after: str, *, as_json: bool) -> None:
    from loader.diff import diff

    _known(place, dataset)
    found = diff(place.data_dir, dataset, before, after, place.settings.loader)
    if as_json:
        terminal.print_json(found)
        return
    terminal.say(f"{dataset}: {found.before} ({found.rows_before:,} rows) → {found.after} ({found.rows_after:,} rows)")
    for what, count, keys, style in (
        ("added", found.added, found.added_keys, "green"),
        ("removed", found.removed, found.removed_keys, "red"),
        ("changed", found.changed, found.changed_keys, "yellow"),
    ):
        shown = ", ".join(bytes(key).decode() for key in keys)
        more = f"  {shown}{' …' if count > len(keys) else ''}" if count else ""
        terminal.say(f"{terminal.paint(f'{what:>10}', style)} {count:,}{more}")
    terminal.say(f"{'unchanged':>10} {found.unchanged:,}")
    for column, count in found.changed_columns.items():
        terminal.say(f"  column {column} differs in {terminal.plural(count, 'row')}")
    for sentence in found.drift:
        terminal.say(terminal.paint(f"  {sentence}", "yellow"))


def verify(place: Workplace, dataset: str | None, version: str | None, *, as_json: bool) -> bool:
    """Whether everything that was read is what was written. Without a version: the live one."""
    from loader.verify import verify

    if dataset is not None:
        _known(place, dataset)
    reports: list[dict[str, Any]] = []
    for name in [dataset] if dataset is not None else sorted(place.settings.datasets):
        wanted = version or live_version(place.data_dir, name)
        if wanted is None:
            if dataset is not None:
                raise NoSuchVersion(f"{name} has no live version; load one with: havok load {name}")
            continue
        chosen = catalogue.find(place.data_dir, name, wanted)
        findings = verify(place.data_dir, name, chosen, place.settings.loader)
        reports.append({"dataset": name, "version": chosen, "good": not findings, "findings": findings})
        if not as_json:
            _say_report(name, chosen, findings, live=chosen == live_version(place.data_dir, name))
    if as_json:
        terminal.print_json({"good": all(report["good"] for report in reports), "versions": reports})
    return all(report["good"] for report in reports)


def _say_report(dataset: str, version: str, findings: list[str], *, live: bool) -> None:
    if not findings:
        terminal.say(f"{dataset}@{version}: good")
        return
    for finding in findings:
        terminal.note(f"{terminal.paint('error:', 'red')} {dataset}@{version}: {finding}")
    advice = (
        f"load it again, or go back with: havok rollback {dataset}" if live else "it is not live; do not go back to it"
    )
    terminal.note(f"{dataset}: {advice}")


def _known(place: Workplace, dataset: str) -> None:
    """A dataset that left the configuration can still be looked at while its versions are there."""
    if not catalogue.version_ids(place.data_dir, dataset):
        place.dataset(dataset)
        raise NoSuchVersion(f"{dataset} has no versions; load one with: havok load {dataset}")
