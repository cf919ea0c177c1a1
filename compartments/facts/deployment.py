"""What workers are asked for, as it stands in the ledger.

Rule: plain data. One deployment per service: its plan and the versions it is to read, or the
reason why it cannot answer; `planning` makes them. Entries of the ledger are named here:

    deploy/<service>      Deployment       to serve now
    stage/<dataset>       Stage            to have ready, aside
    standby/<dataset>     version          to hold open for a rollback
    peers/<compartment>   list of sockets  workers that take connections
    marks/<compartment>   Watermarks       between which its load should be
    pressure/<compartment>  a sentence     why it is to degrade: no more workers are to be had
    limits/<compartment>  int              the most connections it may have; without one, any number
"""

import msgspec

from engine.plan import Plan
from havok.settings import ExecutorSettings, Priority


class Refusal(msgspec.Struct, frozen=True):
    """Why a service cannot answer: a code of `havok.errors` and a sentence."""

    code: str
    detail: str


class Deployment(msgspec.Struct, frozen=True):
    service: str
    compartment: str
    plan: Plan | None = None
    versions: tuple[tuple[str, str], ...] = ()  # (dataset, version)
    refusal: Refusal | None = None
    executors: ExecutorSettings | None = None  # for an analytical plan
    priority: Priority = "medium"  # its compartment's


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


def marks_key(compartment: str) -> str:
    return f"marks/{compartment}"


def pressure_key(compartment: str) -> str:
    return f"pressure/{compartment}"


def limits_key(compartment: str) -> str:
    return f"limits/{compartment}"
