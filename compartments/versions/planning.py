"""Settings and live versions → what workers are asked for.

Rule: decides, and keeps nothing but what it would find again: the last plan of each service,
with the settings and schemas it was made of, since SQL takes milliseconds to compile. Only
the supervisor and commands plan; a worker gets its plans by the bus.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from compartments.facts.deployment import Deployment, Refusal
from compartments.versions.intended import as_set, kept, lost_index, unbuilt
from compartments.versions.retyping import as_they_were, retyped, with_types
from engine.front import datasets_of, plan_service
from engine.plan import Analysis, Plan, PlanError
from havok.errors import Fault
from havok.manifest import Index, Manifest
from havok.settings import ServiceSettings, Settings


class Planning:
    def __init__(self) -> None:
        self._plans: dict[str, tuple[Any, Plan | PlanError]] = {}
        self._datasets: dict[str, tuple[ServiceSettings, tuple[str, ...]]] = {}

    def deployments(self, settings: Settings, live: Mapping[str, Manifest]) -> dict[str, Deployment]:
        """Every service → its deployment on the live versions."""
        self._forget(settings)
        return {name: self.deployment(settings, name, live) for name in settings.services}

    def deployment(self, settings: Settings, name: str, live: Mapping[str, Manifest]) -> Deployment:
        deployment = self._deployment(settings, name, live)
        return msgspec.structs.replace(deployment, priority=settings.compartments[deployment.compartment].priority)

    def _deployment(self, settings: Settings, name: str, live: Mapping[str, Manifest]) -> Deployment:
        service = settings.services[name]
        datasets = self.datasets(settings, name)
        missing = [dataset for dataset in datasets if dataset in settings.datasets and dataset not in live]
        if missing and not service.analytical:
            return Deployment(name, service.compartment, refusal=_unloaded(missing[0]))
        is_known = all(dataset in settings.datasets for dataset in datasets)
        reads = (
            {name: live[name] for name in datasets if name in live} if is_known else live
        )  # all: to name the nearest
        try:
            plan = self._plan(name, service, reads, settings)
        except PlanError as error:
            if missing:  # it may be that
                return Deployment(name, service.compartment, refusal=_unloaded(missing[0]))
            return Deployment(name, service.compartment, refusal=Refusal("bad_plan", error.detail))
        self._datasets[name] = (service, plan.datasets)
        versions = tuple((dataset, live[dataset].version) for dataset in plan.datasets)
        executors = settings.compartments[service.compartment].executors if isinstance(plan.access, Analysis) else None
        return Deployment(name, service.compartment, plan, versions, executors=executors)

    def datasets(self, settings: Settings, name: str) -> tuple[str, ...]:
        """What a service reads; none where its SQL cannot be read."""
        service = settings.services[name]
        known = self._datasets.get(name)
        if known is None or known[0] != service:
            known = self._datasets[name] = (service, datasets_of(service, settings.datasets))
        return known[1]

    def dependents(self, settings: Settings, dataset: str) -> list[str]:
        """Services that read a dataset."""
        return [name for name in settings.services if dataset in self.datasets(settings, name)]

    def refusals_on(
        self, settings: Settings, live: Mapping[str, Manifest], manifest: Manifest
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Service → why it would not compile with a manifest among the live ones.

        First those that are served now: they would be broken. Then those that are not, since they do not compile
        anyway or wait for their first data: no reason to keep them from the others.
        """
        after = {**live, manifest.dataset: manifest}
        loaded = _as_loaded(settings, manifest)
        broken: dict[str, str] = {}
        faulty: dict[str, str] = {}
        for name in self.dependents(settings, manifest.dataset):
            refusal = Planning().deployment(loaded, name, after).refusal  # what is a candidate is not worth keeping
            if refusal is None or refusal.code != "bad_plan":
                continue
            now = self.deployment(settings, name, live)
            lost = lost_index(now.plan, manifest)
            found = broken if now.refusal is None else faulty
            found[name] = refusal.detail if lost is None else _without(name, lost, manifest.dataset)
        return broken, faulty

    def accept(self, settings: Settings, live: Mapping[str, Manifest], manifest: Manifest) -> dict[str, str]:
        """Services that are not served now and would not compile on a candidate, with the reason.

        Raises PlanError with a sentence for each that is served and would not, and one that helps all of them.
        """
        broken, faulty = self.refusals_on(settings, live, manifest)
        if broken:
            remedy = self._remedy(settings, live, manifest, broken)
            raise PlanError("\n".join([*broken.values(), *([remedy] if remedy else [])]))
        return faulty

    def _remedy(
        self, settings: Settings, live: Mapping[str, Manifest], manifest: Manifest, broken: Collection[str]
    ) -> str | None:
        """How the services that a manifest would break are kept whole by reading columns as they were, if they are."""
        before, dataset = live.get(manifest.dataset), settings.datasets.get(manifest.dataset)
        was = retyped(before, manifest) if before is not None else {}
        if dataset is None or not was:
            return None

        def helps(types: Mapping[str, str]) -> bool:
            after = {**live, manifest.dataset: with_types(manifest, types)}
            return all(Planning().deployment(settings, name, after).refusal is None for name in broken)

        if not helps(was):
            return None
        for column in list(was):
            fewer = {name: kind for name, kind in was.items() if name != column}
            was = fewer if helps(fewer) else was
        return as_they_were(manifest, was, dataset.columns)

    def _plan(self, name: str, service: ServiceSettings, live: Mapping[str, Manifest], settings: Settings) -> Plan:
        declared = {dataset: settings.datasets[dataset] for dataset in live if dataset in settings.datasets}
        made_of = (
            service,
            [(found.dataset, found.columns, found.key, found.indexes) for found in live.values()],
            [(found.key, found.indexes) for found in declared.values()],
        )
        known = self._plans.get(name)
        if known is None or known[0] != made_of:
            try:
                known = (made_of, plan_service(name, service, live))
            except PlanError as error:
                after = {dataset: as_set(live[dataset], found) for dataset, found in declared.items()}
                known = (made_of, unbuilt(name, service, live, after) or error)
            self._plans[name] = known
        if isinstance(known[1], PlanError):
            raise PlanError(known[1].detail)
        return known[1]

    def _forget(self, settings: Settings) -> None:
        """Services that are gone."""
        for gone in self._plans.keys() - settings.services.keys():
            del self._plans[gone]
        for gone in self._datasets.keys() - settings.services.keys():
            del self._datasets[gone]


def service_fault(file: str, settings: Settings, name: str, detail: str) -> Fault:
    """Why a service does not compile, as a fault of the configuration it stands in."""
    key = f"services.{name}.sql" if settings.services[name].kind == "sql" else f"services.{name}"
    return Fault(file, key, detail.removeprefix(f"service {name}: "))


def _as_loaded(settings: Settings, manifest: Manifest) -> Settings:
    """With the key and indexes that a manifest was built with: the configuration it came from may be a newer one."""
    known = settings.datasets.get(manifest.dataset)
    if known is None:
        return settings
    indexes = {index.name: tuple(column.name for column in index.columns) for index in manifest.indexes}
    key = tuple(column.name for column in manifest.key)
    dataset = msgspec.structs.replace(known, key=key, indexes=indexes)
    return msgspec.structs.replace(settings, datasets={**settings.datasets, manifest.dataset: dataset})


def _without(name: str, index: Index, dataset: str) -> str:
    return (
        f"service {name}: it reads by index {index.name}, and there would be none; "
        f"keep {kept(index, dataset)}, or change the service first"
    )


def _unloaded(dataset: str) -> Refusal:
    return Refusal("no_version", f"dataset {dataset} has no version yet; load it with: havok load {dataset}")
