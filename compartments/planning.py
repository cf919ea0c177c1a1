"""Settings and live versions → what workers are asked for.

Rule: decides, and keeps nothing but what it would find again: the last plan of each service,
with the settings and schemas it was made of, since SQL takes milliseconds to compile. Only
the supervisor and commands plan; a worker gets its plans by the bus.
"""

from collections.abc import Mapping
from typing import Any

from compartments.deployment import Deployment, Refusal
from engine.front import datasets_of, plan_service
from engine.plan import Analysis, Plan, PlanError
from havok.manifest import Manifest
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
        service = settings.services[name]
        workers = settings.compartments[service.compartment].workers.min
        datasets = self.datasets(settings, name)
        missing = [dataset for dataset in datasets if dataset in settings.datasets and dataset not in live]
        if missing and not service.analytical:
            return Deployment(name, service.compartment, workers, refusal=_unloaded(missing[0]))
        is_known = all(dataset in settings.datasets for dataset in datasets)
        reads = (
            {name: live[name] for name in datasets if name in live} if is_known else live
        )  # all: to name the nearest
        try:
            plan = self._plan(name, service, reads)
        except PlanError as error:
            if missing:  # it may be that
                return Deployment(name, service.compartment, workers, refusal=_unloaded(missing[0]))
            return Deployment(name, service.compartment, workers, refusal=Refusal("bad_plan", error.detail))
        self._datasets[name] = (service, plan.datasets)
        versions = tuple((dataset, live[dataset].version) for dataset in plan.datasets)
        executors = settings.compartments[service.compartment].executors if isinstance(plan.access, Analysis) else None
        return Deployment(name, service.compartment, workers, plan, versions, executors=executors)

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

    def faults_on(self, settings: Settings, live: Mapping[str, Manifest], manifest: Manifest) -> list[str]:
        """Plans that would not compile with a manifest among the live ones, a sentence each.

        Only what is served now can be broken: one that does not compile anyway, or waits for its first data, is no
        reason to keep them from the others.
        """
        after = {**live, manifest.dataset: manifest}
        made = (
            Planning().deployment(settings, name, after).refusal  # what is only a candidate is not worth keeping
            for name in self.dependents(settings, manifest.dataset)
            if self.deployment(settings, name, live).refusal is None
        )
        return [refusal.detail for refusal in made if refusal is not None and refusal.code == "bad_plan"]

    def _plan(self, name: str, service: ServiceSettings, manifests: Mapping[str, Manifest]) -> Plan:
        made_of = (service, [(found.dataset, found.columns, found.key, found.indexes) for found in manifests.values()])
        known = self._plans.get(name)
        if known is None or known[0] != made_of:
            try:
                known = (made_of, plan_service(name, service, manifests))
            except PlanError as error:
                known = (made_of, error)
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


def _unloaded(dataset: str) -> Refusal:
    return Refusal("no_version", f"dataset {dataset} has no version yet; load it with: havok load {dataset}")
