"""`havok status`: the node's own account, as tables or as it is.

Rule: prints what the supervisor says and nothing else.
"""

from typing import Any

from console import terminal
from console.node import Node
from console.workplace import Workplace

LOADING = "loading …"
_STATE_STYLES = {"ready": "green", "live": "green", "starting": "yellow", "draining": "yellow", "no_version": "yellow",
                 "idle": "green", "busy": "green", "resting": "red"}  # fmt: skip


def status(place: Workplace, *, as_json: bool) -> None:
    """Raises NodeError when the node is not running."""
    with Node(place.data_dir) as node:
        document = node.status()
    if as_json:
        terminal.print_json(document)
    else:
        _show(document)


def coloured(state: str) -> str:
    return terminal.paint(state, _STATE_STYLES.get(state, "red"))


def _show(document: dict[str, Any]) -> None:
    name, zone, listen = document["node"], document["zone"], document["listen"]
    terminal.say(f"node {name} in {zone}, pid {document['supervisor']['pid']}, serving on http://{listen}")
    terminal.say()
    _show_compartments(document["compartments"])
    _show_isolation(document["compartments"])
    _show_exceptions(document["compartments"])
    _show_executors(document["compartments"])
    terminal.say()
    _show_services(document["services"])
    terminal.say()
    _show_datasets(document["datasets"])
    _show_faults(document)


def _show_compartments(compartments: dict[str, Any]) -> None:
    rows: list[list[terminal.Cell]] = []
    for name, compartment in compartments.items():
        label = f"{name} ({compartment['priority']})"
        for worker in compartment["workers"]:
            cpus = ",".join(map(str, worker["cpus"]))
            versions = ", ".join(f"{dataset}@{short(version)}" for dataset, version in worker["versions"].items())
            rows.append([label, worker["pid"], coloured(worker["state"]), cpus, worker["connections"],
                         worker["requests"], versions])  # fmt: skip
            label = ""
        if not compartment["workers"]:
            rows.append([label, "", terminal.paint("no worker", "red"), "", "", "", ""])
    headers = ["COMPARTMENT", "PID", "STATE", "CPUS", "CONNECTIONS", "REQUESTS", "VERSIONS"]
    terminal.print_table(headers, rows, numbers=("PID", "CONNECTIONS", "REQUESTS"))


def _show_isolation(compartments: dict[str, Any]) -> None:
    """What keeps them apart, and where they are not."""
    for mechanism in dict.fromkeys(found["isolation"] for found in compartments.values()):
        controllers = next(found["controllers"] for found in compartments.values() if found["isolation"] == mechanism)
        what = f" ({', '.join(controllers)})" if controllers else ""
        terminal.say(f"kept apart by {mechanism}{what}")
    for name, found in compartments.items():
        for note in found["notes"]:
            terminal.say(terminal.paint(f"{name}: {note}", "yellow"))


def _show_exceptions(compartments: dict[str, Any]) -> None:
    """Ports of their own, and what people set over the file."""
    for name, found in compartments.items():
        if found["listen"]:
            terminal.say(f"{name}: has a port of its own, {found['listen']}")
        if found["scaled"]:
            said = ", ".join(f"{key} {value:g}" for key, value in found["scaled"].items())
            terminal.say(f"{name}: scaled by hand, {said}; havok scale {name} --reset takes it back")


def _show_executors(compartments: dict[str, Any]) -> None:
    """Where there are some: they start with the first analytical query."""
    rows: list[list[terminal.Cell]] = []
    for name, compartment in compartments.items():
        for worker in compartment["workers"]:
            queries = worker["queries"]
            waiting: terminal.Cell = queries.get("waiting", 0)
            ends = ", ".join(f"{count} {end.replace('_', ' ')}" for end, count in queries.items()
                             if count and end != "waiting")  # fmt: skip
            for executor in worker["executors"]:
                seconds = f"{executor['seconds']:.1f}" if executor["service"] else ""
                rows.append([name, worker["pid"], executor["pid"] or "", coloured(executor["state"]),
                             executor["service"], seconds, waiting, ends])  # fmt: skip
                waiting = ends = ""  # the worker's, said once
    if rows:
        terminal.say()
        headers = ["COMPARTMENT", "WORKER", "EXECUTOR", "STATE", "SERVICE", "SECONDS", "WAITING", "QUERIES"]
        terminal.print_table(headers, rows, numbers=("WORKER", "EXECUTOR", "SECONDS", "WAITING"))


def _show_services(services: dict[str, Any]) -> None:
    rows = [
        [name, found["kind"], ", ".join(found["datasets"]), found["compartment"], found["grade"],
         coloured(found["state"])]
        for name, found in services.items()
    ]  # fmt: skip
    terminal.print_table(["SERVICE", "KIND", "DATASET", "COMPARTMENT", "GRADE", "STATE"], rows)


def _show_datasets(datasets: dict[str, Any]) -> None:
    rows: list[list[terminal.Cell]] = [
        [name, found["live"] or (LOADING if "loading" in found else "–"), len(found["versions"])]
        for name, found in datasets.items()
    ]
    terminal.print_table(["DATASET", "LIVE", "VERSIONS"], rows, numbers=("VERSIONS",))


def _show_faults(document: dict[str, Any]) -> None:
    faults = [f"configuration not applied: {fault}" for fault in document["faults"]]
    faults += [document["renewal_fault"]] if document["renewal_fault"] else []
    faults += [f"{name}: {c['pressure']}" for name, c in document["compartments"].items() if c["pressure"]]
    faults += [found["fault"] for found in document["datasets"].values() if "fault" in found]
    faults += [
        last_refusal(name, found["refused"]) for name, found in document["datasets"].items() if "refused" in found
    ]
    faults += [about(name, item["reason"]) for name, item in document["services"].items() if "reason" in item]
    for compartment in document["compartments"].values():
        for worker in compartment["workers"]:
            faults += [f"{worker['name']}: {what}: {reason}" for what, reason in worker["faults"].items()]
    if faults:
        terminal.say()
        for fault in dict.fromkeys(faults):
            terminal.say(terminal.paint(fault, "red"))


def about(service: str, reason: str) -> str:
    """The reason with the service's name before it, once."""
    return f"service {service}: {reason.removeprefix(f'service {service}: ')}"


def last_refusal(dataset: str, refused: dict[str, str]) -> str:
    return f"dataset {dataset}: its last load, at {refused['time']}, was refused: {refused['reason']}"


def short(version: str) -> str:
    """The part of a version id that tells it from its neighbours: the content's hash."""
    return version.rpartition("-")[2]
