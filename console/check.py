"""`havok check`: everything that is wrong with a configuration, and what looks odd in it.

Rule: a fault is what would keep something from being served; a warning is what would make
a person wonder. All of them are told at once. Nothing is changed.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from compartments.facts.deployment import Deployment
from compartments.machine import placement, topology
from compartments.versions.intended import as_set, kept, lost_index
from compartments.versions.live import choose
from compartments.versions.planning import Planning, service_fault
from console import terminal
from console.estimate import Estimate, estimate, over_bound
from console.workplace import Workplace
from engine.front import datasets_of
from engine.plan import Select
from engine.queries.query import describe
from havok.errors import ConfigError, Fault, OperatorError
from havok.layout import live_version, version_dir
from havok.manifest import Manifest
from havok.settings import CompartmentSettings, DatasetSettings, is_select

_GLOB = "*?["


def check(config: Path, *, as_json: bool) -> None:
    """Raises ConfigError with every fault, OperatorError for what is no configuration by itself."""
    _check_whole(config)
    place = Workplace(config)
    live, damaged = _live(place)
    plans = Planning().deployments(place.settings, live)
    faults = [*place.faults, *damaged, *_plan_faults(place, live, plans), *_source_faults(place)]
    warnings = (
        [] if place.faults else list(_lint(place, live, plans))
    )  # what is faulty is left out, and would seem unused
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


def _check_whole(config: Path) -> None:
    """Raises OperatorError for a file of services alone, which are at home in a node's configuration."""
    try:
        with open(config, "rb") as file:
            tables = tomllib.load(file)
    except (OSError, ValueError, RecursionError):
        return  # what is wrong with it is told by who reads it
    if set(tables) == {"services"}:
        raise OperatorError(
            f"{config} holds [services.NAME] tables only: it is a part of a configuration, and is checked with it. "
            f"Name it in include of [node] in havok.toml and check that; or let a running node check and serve it: "
            f"havok services add {config}"
        )


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
    """Services that do not compile on the versions that are live now, or would break the next load."""
    file = str(place.config)
    for name, item in plans.items():
        if item.refusal is not None and item.refusal.code == "bad_plan":
            yield service_fault(file, place.settings, name, item.refusal.detail)
    planning = Planning()
    for dataset, manifest in live.items():
        after = as_set(manifest, place.settings.datasets[dataset])
        if after == manifest:
            continue
        broken, _ = planning.refusals_on(place.settings, live, after)
        for name, reason in broken.items():
            told = service_fault(file, place.settings, name, reason)
            yield Fault(file, told.key, f"the next load of {dataset} would be refused: {told.reason}")


def _source_faults(place: Workplace) -> Iterator[Fault]:
    """Sources that the first start would look for in vain."""
    for name, dataset in place.settings.datasets.items():
        source = dataset.source
        if source is None or is_select(source) or "://" in source or any(mark in source for mark in _GLOB):
            continue
        if not os.path.exists(source) and live_version(place.data_dir, name) is None:
            yield Fault(str(place.config), f"datasets.{name}.source", f"there is no file {source}")


def _lint(place: Workplace, live: Mapping[str, Manifest], plans: Mapping[str, Deployment]) -> Iterator[Fault]:
    settings, file = place.settings, str(place.config)
    read = {dataset for service in settings.services.values() for dataset in datasets_of(service, settings.datasets)}
    for name, dataset in settings.datasets.items():
        if dataset.source is None and live_version(place.data_dir, name) is None:
            yield Fault(file, f"datasets.{name}", f"has no source and no version; load one: havok load {name} FILE")
        if name not in read:
            yield Fault(file, f"datasets.{name}", "no service reads it")
        manifest = live.get(name)
        served = tuple(column.name for column in manifest.key) if manifest is not None else dataset.key
        if served != dataset.key:
            reason = f"the live version is served by ({', '.join(served)}) until the next load: havok load {name}"
            yield Fault(file, f"datasets.{name}.key", reason)
        if manifest is not None:
            yield from _unbuilt_indexes(file, dataset, manifest)
    yield from _other_ways(place, live, plans)
    yield from _over_bounds(place, live, plans)
    for name in settings.compartments:
        if all(service.compartment != name for service in settings.services.values()):
            yield Fault(file, f"compartments.{name}", "has no services; its workers would idle")
    yield from _crowded(file, settings.compartments)


def _crowded(file: str, compartments: Mapping[str, CompartmentSettings]) -> Iterator[Fault]:
    """Compartments that do not get the cores they ask for, on the machine that this is."""
    placed = placement.place(topology.read(), placement.asks_of(compartments, {}))
    for name, notes in placed.notes.items():
        yield from (Fault(file, f"compartments.{name}", note.text) for note in notes if note.asked)


def _over_bounds(place: Workplace, live: Mapping[str, Manifest], plans: Mapping[str, Deployment]) -> Iterator[Fault]:
    """Services that would read more rows than they may, counted in the live version once for the same columns."""
    counted: dict[tuple[str, tuple[str, ...]], Estimate | None] = {}
    for name, item in plans.items():
        if item.plan is None or not isinstance(item.plan.access, Select):
            continue
        query = item.plan.access.query
        manifest = live[query.seek.dataset]
        if manifest.rows <= item.plan.rows_max:
            continue
        sought = manifest.dataset, tuple(column.name for column in query.seek.columns[: len(query.seek.equals)])
        if sought not in counted:
            counted[sought] = estimate(query, version_dir(place.data_dir, manifest.dataset, manifest.version))
        found = counted[sought]
        told = None if found is None else over_bound(query, found, item.plan.rows_max)
        if told is not None:
            yield Fault(str(place.config), f"services.{name}.sql", told)


def _unbuilt_indexes(file: str, dataset: DatasetSettings, manifest: Manifest) -> Iterator[Fault]:
    """Indexes that were configured after the live version was built."""
    built = {index.name: tuple(column.name for column in index.columns) for index in manifest.indexes}
    for name, columns in dataset.indexes.items():
        if built.get(name) != columns:
            there = f"has it over ({', '.join(built[name])})" if name in built else "does not have it yet"
            reason = f"the live version {there}; build it: havok load {manifest.dataset}"
            yield Fault(file, f"datasets.{manifest.dataset}.indexes.{name}", reason)


def _other_ways(place: Workplace, live: Mapping[str, Manifest], plans: Mapping[str, Deployment]) -> Iterator[Fault]:
    """Services that read by an index which the configuration has no more, and will have to read otherwise."""
    for name, item in plans.items():
        for dataset in dict(item.versions):
            after = as_set(live[dataset], place.settings.datasets[dataset])
            lost = lost_index(item.plan, after)
            plan = Planning().deployment(place.settings, name, {**live, dataset: after}).plan if lost else None
            if lost is not None and plan is not None and isinstance(plan.access, Select):
                reason = (
                    f"it reads by index {lost.name} until the next load of {dataset}, then by another way: "
                    f"{describe(plan.access.query)}; or keep {kept(lost, dataset)}"
                )
                yield Fault(str(place.config), f"services.{name}.sql", reason)
