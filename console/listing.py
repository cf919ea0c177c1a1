"""`havok services` and `havok datasets`: what there is, and changes to services at run time.

Rule: lists come from the configuration and the disk, with the running node's word on how
each one is; adding and removing is the node's to do while it runs.
"""

from pathlib import Path
from typing import Any

import msgspec

from compartments.people.configuration import not_added
from console import terminal
from console.node import Node, is_running, status_if_running
from console.status import about, coloured, last_refusal
from console.workplace import Workplace
from engine.front import datasets_of
from havok import messages
from havok.errors import DamagedVersion, NodeError, OperatorError
from havok.layout import live_version, refused_load, version_dir
from havok.manifest import read_manifest
from loader import catalogue

DOCUMENT_BYTES_MAX = 1 << 20  # a few thousand services
NOT_RUNNING = "not running"


def services(place: Workplace, *, as_json: bool) -> None:
    running = status_if_running(place.data_dir)
    states: dict[str, Any] = running["services"] if running else {}
    found = [
        {
            "service": name,
            "kind": service.kind,
            "dataset": service.dataset,
            "datasets": list(datasets_of(service, place.settings.datasets)),
            "compartment": service.compartment,
            "grade": service.grade,
            "state": states.get(name, {}).get("state", "not applied" if running else NOT_RUNNING),
            "reason": states.get(name, {}).get("reason"),
            "added": name in place.stored,
        }
        for name, service in place.settings.services.items()
    ]
    if as_json:
        terminal.print_json({"services": found})
        return
    headers = ["SERVICE", "KIND", "DATASET", "COMPARTMENT", "GRADE", "STATE", "FROM"]
    rows = [
        [str(item["service"]), str(item["kind"]), ", ".join(item["datasets"]),
         str(item["compartment"]), str(item["grade"]),
         coloured(str(item["state"])) if running else NOT_RUNNING,
         "added at run time" if item["added"] else "configuration"]
        for item in found
    ]  # fmt: skip
    terminal.print_table(headers, rows)
    for item in found:
        if item["reason"]:
            terminal.note(terminal.paint(about(str(item["service"]), str(item["reason"])), "red"))
    _say_faults(place)


def add(place: Workplace, file: Path, *, as_json: bool) -> None:
    """Raises OperatorError when the file cannot be read, NodeError with the node's reason, ConfigError with faults."""
    try:
        with open(file, encoding="utf-8") as stream:
            document = stream.read(DOCUMENT_BYTES_MAX + 1)
    except UnicodeDecodeError:
        raise OperatorError(f"{file} is not UTF-8 text") from None
    if len(document) > DOCUMENT_BYTES_MAX:
        raise OperatorError(f"{file} is larger than {DOCUMENT_BYTES_MAX >> 20} MiB")
    with Node(place.data_dir) as node:
        try:
            done = node.request(messages.AddServiceRequest(document, str(file)))
        except NodeError as error:
            raise NodeError(f"{file}: {error.detail}") from None
    if as_json:
        terminal.print_json(done)
        return
    names, waiting = done["services"], done["waiting"]
    served = [name for name in names if name not in waiting]
    if served:
        terminal.say(f"serving {', '.join(served)}")
    for name, missing in waiting.items():
        loads = " && ".join(f"havok load {dataset}" for dataset in missing)
        first = f"{' and '.join(missing)} {'has its' if len(missing) == 1 else 'have their'} first version"
        said = terminal.paint("accepted, but NOT compiled yet", "yellow")
        terminal.say(f"{name} is {said}: it will be when {first}: {loads}")
    back = "; ".join(f"havok services remove {name}" for name in names)
    terminal.say(f"kept in {place.data_dir}, take back: {back}")


def remove(place: Workplace, name: str, *, as_json: bool) -> None:
    """Running or not: one that no longer fits the file keeps a node from starting.

    Raises NodeError with the node's reason, OperatorError when it was not added.
    """
    if is_running(place.data_dir):
        with Node(place.data_dir) as node:
            done = node.request(messages.RemoveServiceRequest(name))
    elif place.take_back(name):
        done = {"services": [name]}
    else:
        raise OperatorError(not_added(name, place.settings.services, place.stored))
    if as_json:
        terminal.print_json(done)
    else:
        terminal.say(f"service {name} is removed")


def datasets(place: Workplace, *, as_json: bool) -> None:
    used: dict[str, list[str]] = {name: [] for name in place.settings.datasets}
    for name, service in place.settings.services.items():
        for dataset in datasets_of(service, place.settings.datasets):
            if dataset in used:
                used[dataset].append(name)
    found = [_dataset(place, name, used[name]) for name in place.settings.datasets]
    if as_json:
        terminal.print_json({"datasets": found})
        return
    rows = [
        [
            item["dataset"],
            f"{item['rows']:,}" if item["rows"] is not None else "",
            item["live"] or terminal.paint("not loaded", "yellow"),
            len(item["versions"]),
            ", ".join(item["key"]),
            ", ".join(item["services"]) or "–",
        ]
        for item in found
    ]
    headers = ["DATASET", "ROWS", "LIVE", "VERSIONS", "KEY", "SERVICES"]
    terminal.print_table(headers, rows, numbers=("ROWS", "VERSIONS"))
    for item in found:
        if item["fault"]:
            terminal.note(terminal.paint(f"dataset {item['dataset']}: {item['fault']}", "red"))
        if item["refused"]:
            terminal.note(terminal.paint(last_refusal(item["dataset"], item["refused"]), "red"))
    _say_faults(place)


def _dataset(place: Workplace, name: str, services: list[str]) -> dict[str, Any]:
    settings = place.settings.datasets[name]
    live = live_version(place.data_dir, name)
    rows, fault, refused = None, None, refused_load(place.data_dir, name)
    if live is not None:
        try:
            rows = read_manifest(version_dir(place.data_dir, name, live)).rows
        except DamagedVersion as error:
            fault = error.detail
    return {
        "dataset": name,
        "live": live,
        "rows": rows,
        "versions": catalogue.version_ids(place.data_dir, name),
        "key": list(settings.key),
        "source": settings.source,
        "services": services,
        "fault": fault,
        "refused": msgspec.to_builtins(refused) if refused else None,
    }


def _say_faults(place: Workplace) -> None:
    if place.faults:
        terminal.warn(f"{terminal.plural(len(place.faults), 'fault')} in the configuration; see: havok check")
