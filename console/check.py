"""`havok check`: everything that is wrong with a configuration, and what looks odd in it.

Rule: a fault is what would keep something from being served; a warning is what would make
a person wonder. All of them are told at once. Nothing is changed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from compartments.deployment import faults_on
from compartments.live import choose
from console import terminal
from console.workplace import Workplace
from havok.errors import ConfigError, Fault
from havok.layout import live_version
from havok.settings import is_select

_GLOB = "*?["


def check(config: Path, *, as_json: bool) -> None:
    """Raises ConfigError with every fault."""
    place = Workplace(config)
    faults = [*place.faults, *_plan_faults(place), *_source_faults(place)]
    warnings = [] if place.faults else list(_lint(place))  # what is faulty is left out, and would seem unused
    settings = place.settings
    if as_json:
        terminal.print_json(
            {
                "ok": not faults,
                "faults": faults,
                "warnings": warnings,
                "services": len(settings.services),
                "datasets": len(settings.datasets),
            }
        )
    for warning in () if as_json else warnings:
        terminal.warn(str(warning))
    if faults:
        raise ConfigError(faults)
    if not as_json:
        services = terminal.plural(len(settings.services), "service")
        terminal.say(f"{services}, {terminal.plural(len(settings.datasets), 'dataset')}: all good")


def _plan_faults(place: Workplace) -> Iterator[Fault]:
    """Services that do not compile on the version that is live now."""
    for name in place.settings.datasets:
        choice = choose(place.data_dir, name, {})
        if choice.fault is not None:
            yield Fault(str(place.config), f"datasets.{name}", choice.fault)
        if choice.manifest is not None:
            for sentence in faults_on(place.settings, choice.manifest):
                service = sentence.removeprefix("service ").partition(":")[0]
                yield Fault(str(place.config), f"services.{service}", sentence.partition(": ")[2])


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
    for name, dataset in settings.datasets.items():
        if dataset.source is None and live_version(place.data_dir, name) is None:
            yield Fault(file, f"datasets.{name}", f"has no source and no version; load one: havok load {name} FILE")
        if all(service.dataset != name for service in settings.services.values()):
            yield Fault(file, f"datasets.{name}", "no service reads it")
        manifest = choose(place.data_dir, name, {}).manifest
        served = tuple(column.name for column in manifest.key) if manifest is not None else dataset.key
        if served != dataset.key:
            reason = f"the live version is served by ({', '.join(served)}) until the next load: havok load {name}"
            yield Fault(file, f"datasets.{name}.key", reason)
    for name in settings.compartments:
        if all(service.compartment != name for service in settings.services.values()):
            yield Fault(file, f"compartments.{name}", "has no services; its workers would idle")
