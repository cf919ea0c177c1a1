"""`havok check`: everything that is wrong with a configuration, and what looks odd in it.

Rule: a fault is what would keep something from being served; a warning is what would make
a person wonder. All of them are told at once. Nothing is changed.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from compartments.deployment import Deployment
from compartments.live import choose
from compartments.planning import Planning
from console import terminal
from console.workplace import Workplace
from engine.front import datasets_of
from havok.errors import ConfigError, Fault, LoadError
from havok.keys import KeyColumn
from havok.layout import live_version
from havok.manifest import Index, Manifest
from havok.settings import is_select
from loader.schema import key_kind

_GLOB = "*?["


def check(config: Path, *, as_json: bool) -> None:
    """Raises ConfigError with every fault."""
    place = Workplace(config)
    live, damaged = _live(place)
    plans = Planning().deployments(place.settings, live)
    faults = [*place.faults, *damaged, *_plan_faults(place, live, plans), *_source_faults(place)]
    warnings = [] if place.faults else list(_lint(place))  # what is faulty is left out, and would seem unused
    settings = place.settings
    waiting = [name for name, item in plans.items() if item.refusal is not None and item.refusal.code == "no_version"]
    if as_json:
        terminal.print_json(
            {
                "ok": not faults,
                "faults": faults,
                "warnings": warnings,
                "services": len(settings.services),
                "datasets": len(settings.datasets),
                "not_compiled": waiting,
            }
        )
    for warning in () if as_json else warnings:
        terminal.warn(str(warning))
    if faults:
        raise ConfigError(faults)
    if not as_json:
        services = terminal.plural(len(settings.services), "service")
        later = f"; NOT compiled yet, for want of data: {', '.join(waiting)}" if waiting else ""
        terminal.say(f"{services}, {terminal.plural(len(settings.datasets), 'dataset')}: all good{later}")


def _live(place: Workplace) -> tuple[dict[str, Manifest], list[Fault]]:
    """The versions to serve, and what is wrong with those that the pointers name."""
    live, faults = {}, []
    for name in place.settings.datasets:
        choice = choose(place.data_dir, name, {})
        if choice.fault is not None:
            faults.append(Fault(str(place.config), f"datasets.{name}", choice.fault))
        if choice.manifest is not None:
            live[name] = choice.manifest
    return live, faults


def _plan_faults(place: Workplace, live: Mapping[str, Manifest], plans: Mapping[str, Deployment]) -> Iterator[Fault]:
    """Services that do not compile on the versions that are live now."""
    intended: dict[str, Manifest] | None = None
    for name, item in plans.items():
        if item.refusal is None or item.refusal.code != "bad_plan":
            continue
        key, reason = f"services.{name}", item.refusal.detail.removeprefix(f"service {name}: ")
        if place.settings.services[name].kind == "sql":
            key += ".sql"
            intended = intended or {dataset: _as_set(place, manifest) for dataset, manifest in live.items()}
            plan = Planning().deployment(place.settings, name, intended).plan
            if plan is not None:
                lacking = [dataset for dataset in plan.datasets if intended[dataset] != live[dataset]]
                loads = " && ".join(f"havok load {dataset}" for dataset in lacking)
                reason = f"it reads by an index that the live version does not have yet; build it: {loads}"
        yield Fault(str(place.config), key, reason)


def _as_set(place: Workplace, manifest: Manifest) -> Manifest:
    """A live version as the next load would make it of the same columns: with the indexes of the configuration."""
    kinds = {column.name: column.type for column in manifest.columns}
    indexes = []
    for name, columns in place.settings.datasets[manifest.dataset].indexes.items():
        try:
            indexes.append(Index(name, tuple(KeyColumn(column, key_kind(column, kinds[column])) for column in columns)))
        except (LoadError, KeyError):
            continue  # the load would refuse it, and says why
    return msgspec.structs.replace(manifest, indexes=tuple(indexes))


def _source_faults(place: Workplace) -> Iterator[Fault]:
    """Sources that the first start would look for in vain."""
    for name, dataset in place.settings.datasets.items():
        source = dataset.source
        if source is None or is_select(source) or "://" in source or any(mark in source for mark in _GLOB):
            continue
        if not os.path.exists(source) and live_version(place.data_dir, name) is None:
            yield Fault(str(place.config), f"datasets.{name}.source", f"there is no file {source}")


def _lint(place: Workplace) -> Iterator[Fault]:
    settings, file = place.settings, str(place.config)
    read = {dataset for service in settings.services.values() for dataset in datasets_of(service, settings.datasets)}
    for name, dataset in settings.datasets.items():
        if dataset.source is None and live_version(place.data_dir, name) is None:
            yield Fault(file, f"datasets.{name}", f"has no source and no version; load one: havok load {name} FILE")
        if name not in read:
            yield Fault(file, f"datasets.{name}", "no service reads it")
        manifest = choose(place.data_dir, name, {}).manifest
        served = tuple(column.name for column in manifest.key) if manifest is not None else dataset.key
        if served != dataset.key:
            reason = f"the live version is served by ({', '.join(served)}) until the next load: havok load {name}"
            yield Fault(file, f"datasets.{name}.key", reason)
    for name in settings.compartments:
        if all(service.compartment != name for service in settings.services.values()):
            yield Fault(file, f"compartments.{name}", "has no services; its workers would idle")
