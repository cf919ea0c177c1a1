"""The document of `havok status --json`, from what the supervisor knows.

Rule: reads, never asks; the shape is the contract's and only grows.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from compartments.facts.deployment import Deployment
from compartments.processes.fleet import Fleet
from compartments.processes.member import Member
from compartments.versions.live import versions
from compartments.versions.rollout import Rollout
from havok.errors import Fault
from havok.layout import refused_load
from havok.settings import ServiceSettings


def status(
    fleet: Fleet,
    rollout: Rollout,
    data_dir: Path,
    faults: tuple[Fault, ...],
    seq: tuple[int, int],
    balance: Callable[[str], dict[str, Any]],
    loading: str | None = None,
) -> dict[str, Any]:
    """`faults` are those of a configuration that was refused; `seq` is (epoch, number).

    `balance(compartment)`: how its load is and what was done about it. `loading`: the dataset whose first version
    the node itself is loading.
    """
    settings, wanted = rollout.settings, rollout.wanted()
    return {
        "node": settings.node.name,
        "zone": settings.node.zone,
        "listen": settings.node.listen,
        "admin": settings.node.admin,
        "supervisor": {"pid": os.getpid(), "epoch": seq[0], "seq": seq[1], "code": fleet.site.code},
        "outdated": len(fleet.outdated()),
        "renewal_fault": fleet.renewal_fault,
        "gate": {"pids": [process.pid for process in fleet.gates() if process.pid]},
        "compartments": {
            name: {
                "priority": compartment.priority,
                "listen": compartment.listen,
                "load": round(_load(fleet.workers(name)), 3),
                "watermarks": {"low": compartment.watermarks.low, "high": compartment.watermarks.high},
                "connections_max": compartment.connections_max,
                "connections_refused": _refused(fleet.gates(), name),
                **fleet.seating.isolation.describe(name),
                **balance(name),
                "workers": [
                    _worker(process)
                    for process in fleet.processes.values()
                    if process.compartment == name and process.pid  # 0: not there yet, and a group to `kill`
                ],
            }
            for name, compartment in settings.compartments.items()
        },
        "datasets": {name: _dataset(rollout, data_dir, name, loading) for name in settings.datasets},
        "services": {
            name: _service(settings.services[name], item, rollout, fleet, loading) for name, item in wanted.items()
        },
        "switches": [],
        "faults": [str(fault) for fault in faults],
    }


def _load(workers: list[Member]) -> float:
    """Mean busy fraction of a compartment's workers."""
    busy = [process.report.busy for process in workers if process.report is not None]
    return sum(busy) / len(busy) if busy else 0.0


def _refused(gates: list[Member], compartment: str) -> int:
    """Connections over the compartment's limit; counted anew by each gate."""
    return sum(gate.report.refused.get(compartment, 0) for gate in gates if gate.report is not None)


def _worker(process: Member) -> dict[str, Any]:
    report = process.report
    found: dict[str, str] = {}
    if report is not None:
        for reads in report.serving.values():
            found |= reads
    return {
        "pid": process.pid,
        "name": process.name,
        "state": process.state,
        "cpus": _cpus(process.pid),
        "connections": report.connections if report else 0,
        "requests": report.requests if report else 0,
        "errors": report.errors if report else {},
        "shed": report.shed if report else {},
        "handed_over": report.handed_over if report else 0,
        "forwarded": report.forwarded if report else 0,
        "busy": report.busy if report else 0.0,
        "delay_us": report.delay_us if report else 0.0,
        "rss_mb": report.rss_mb if report else 0.0,
        "faults_major": report.faults_major if report else 0,
        "costs": report.costs if report else {},
        "versions": found,
        "executors": [msgspec.to_builtins(gauge) for gauge in report.executors] if report else [],
        "queries": report.queries if report else {},
        "seq": report.seq if report else -1,
        "faults": report.faults if report else {},
    }


def _cpus(pid: int) -> list[int]:
    try:
        return sorted(psutil.Process(pid).cpu_affinity() or []) if pid else []
    except psutil.Error:
        return []


def _dataset(rollout: Rollout, data_dir: Path, name: str, loading: str | None) -> dict[str, Any]:
    choice = rollout.choices.get(name)
    live = choice.manifest.version if choice and choice.manifest else None
    document: dict[str, Any] = {"live": live, "versions": versions(data_dir, name)}
    if choice is not None and choice.fault is not None:
        document["fault"] = choice.fault
    refused = refused_load(data_dir, name)
    if refused is not None:
        document["refused"] = msgspec.to_builtins(refused)
    if name == loading:
        document["loading"] = True
    return document


def _service(
    settings: ServiceSettings, item: Deployment, rollout: Rollout, fleet: Fleet, loading: str | None
) -> dict[str, Any]:
    """`live` when every worker serves it as wanted; else why not."""
    name = item.service
    document: dict[str, Any] = {
        "state": "live",
        "kind": settings.kind,
        "dataset": settings.dataset,
        "datasets": list(rollout.planning.datasets(rollout.settings, name)),
        "compartment": item.compartment,
        "grade": settings.grade,
    }
    workers = fleet.workers(item.compartment)
    held_back = rollout.reversals.held_back(name)
    if held_back is not None:
        return document | {"state": "faulty", "reason": held_back}
    if item.refusal is not None:
        state = "no_version" if item.refusal.code == "no_version" else "faulty"
        choices = [rollout.choices[dataset] for dataset in document["datasets"] if dataset in rollout.choices]
        damage = next((choice.fault for choice in choices if choice.manifest is None and choice.fault), None)
        if state == "no_version" and damage is None and loading in document["datasets"]:
            damage = f"dataset {loading} has no version yet; the node is loading it now"
        return document | {"state": state, "reason": damage or item.refusal.detail}
    wanted = dict(item.versions)
    behind = [process for process in workers if process.report is None or process.report.serving.get(name) != wanted]
    faults = {key: reason for p in workers if p.report is not None for key, reason in p.report.faults.items()}
    causes = [name, *(f"{dataset}@{version}" for dataset, version in item.versions if behind)]
    reason = next((faults[cause] for cause in causes if cause in faults), None)
    if reason is not None:
        return document | {"state": "faulty", "reason": reason}
    return document | ({"state": "starting"} if behind or not workers else {})
