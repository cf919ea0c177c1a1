"""What the ledger asks of a worker's compartment: services, changes to be had ready, versions.

Rule: pure; it reads entries and says what follows from them.
"""

from collections.abc import Iterable

import msgspec

from compartments.facts.deployment import Deployment, Stage
from compartments.facts.entries import Entries
from engine.http.passage import RANKS, UNRANKED
from engine.http.route import ANSWER_S_MAX, Elsewhere

EXECUTED_S_MAX = 3600.0  # an executor's queries have a timeout of their own, and wait for each other

VersionKey = tuple[str, str]  # dataset, version

_decode_deployment = msgspec.msgpack.Decoder(Deployment).decode
_decode_stage = msgspec.msgpack.Decoder(Stage).decode
_decode_version = msgspec.msgpack.Decoder(str).decode


class Wanted(msgspec.Struct, frozen=True):
    """The facts of the ledger that concern a compartment."""

    deployments: dict[str, Deployment]
    stages: tuple[Stage, ...]
    standby: frozenset[VersionKey]

    def versions(self, compartment: str) -> set[VersionKey]:
        """Every version that must be open in a worker of the compartment."""
        return self._read_by(self._of(compartment))

    def twins(self, compartment: str) -> set[VersionKey]:
        """Those of them whose twins analytical services read: a query must find them verified."""
        return self._read_by(item for item in self._of(compartment) if item.executors is not None)

    def _of(self, compartment: str) -> list[Deployment]:
        staged = (deployment for stage in self.stages for deployment in stage.deployments)
        return [item for item in (*self.deployments.values(), *staged) if item.compartment == compartment]

    def _read_by(self, deployments: Iterable[Deployment]) -> set[VersionKey]:
        needed = {pair for deployment in deployments for pair in deployment.versions}
        read = {dataset for dataset, _ in needed}
        return needed | {pair for pair in self.standby if pair[0] in read}


def rank_of(deployments: Iterable[Deployment], compartment: str) -> int:
    """The rank of a compartment's priority, as those say that are to be served there."""
    return next((RANKS[item.priority] for item in deployments if item.compartment == compartment), UNRANKED)


def elsewhere(deployment: Deployment) -> Elsewhere:
    """What a service is to workers of other compartments."""
    answer_s = ANSWER_S_MAX if deployment.executors is None else EXECUTED_S_MAX
    return Elsewhere(deployment.service, deployment.compartment, RANKS[deployment.priority], answer_s)


def entries_of_interest() -> Entries:
    return Entries(deploy=_decode_deployment, stage=_decode_stage, standby=_decode_version)


def read_entries(entries: Entries) -> Wanted:
    """Ledger entries → what is wanted."""
    return Wanted(entries.of("deploy"), tuple(entries.of("stage").values()), frozenset(entries.of("standby").items()))
