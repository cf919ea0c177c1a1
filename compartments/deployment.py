"""What a node's settings and live versions ask of its workers.

Rule: pure. One deployment per service: its plan and the versions it is to read, or the
reason why it cannot answer. Entries of the ledger are named here:

    deploy/<service>      Deployment       to serve now
    stage/<dataset>       Stage            to have ready, aside
    standby/<dataset>     version          to hold open for a rollback
    peers/<compartment>   list of sockets  workers that take connections
"""

from collections.abc import Mapping

import msgspec

from engine.plan import Plan, PlanError
from engine.planner import plan_service
from havok.manifest import Manifest
from havok.settings import Settings


class Refusal(msgspec.Struct, frozen=True):
    """Why a service cannot answer: a code of `havok.errors` and a sentence."""

    code: str
    detail: str


class Deployment(msgspec.Struct, frozen=True):
    service: str
    compartment: str
    workers: int
    plan: Plan | None = None
    versions: tuple[tuple[str, str], ...] = ()  # (dataset, version)
    refusal: Refusal | None = None


class Stage(msgspec.Struct, frozen=True):
    """A change to get ready for; `id` is what workers report when they are."""

    id: str
    deployments: tuple[Deployment, ...]


def deploy_key(service: str) -> str:
    return f"deploy/{service}"


def stage_key(dataset: str) -> str:
    return f"stage/{dataset}"


def standby_key(dataset: str) -> str:
    return f"standby/{dataset}"


def peers_key(compartment: str) -> str:
    return f"peers/{compartment}"


def deployments(settings: Settings, live: Mapping[str, Manifest]) -> dict[str, Deployment]:
    """Every service → its deployment on the live versions."""
    return {name: deployment(settings, name, live.get(service.dataset)) for name, service in settings.services.items()}


def deployment(settings: Settings, name: str, manifest: Manifest | None) -> Deployment:
    service = settings.services[name]
    workers = settings.compartments[service.compartment].workers.min
    if manifest is None:
        detail = f"dataset {service.dataset} has no version yet; load it with: havok load {service.dataset}"
        return Deployment(name, service.compartment, workers, refusal=Refusal("no_version", detail))
    try:
        plan = plan_service(name, service, manifest)
    except PlanError as error:
        return Deployment(name, service.compartment, workers, refusal=Refusal("bad_plan", error.detail))
    return Deployment(name, service.compartment, workers, plan, ((manifest.dataset, manifest.version),))


def dependents(settings: Settings, dataset: str) -> list[str]:
    """Services that read a dataset."""
    return [name for name, service in settings.services.items() if service.dataset == dataset]


def faults_on(settings: Settings, manifest: Manifest) -> list[str]:
    """Plans that would not compile on a manifest, a sentence each."""
    found = (deployment(settings, name, manifest).refusal for name in dependents(settings, manifest.dataset))
    return [refusal.detail for refusal in found if refusal is not None]
