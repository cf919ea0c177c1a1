"""`havok plan`: a service explained, from its settings and the versions on disk.

Rule: plans with the engine's own planner, so that what is shown is what is served; a
running node is not needed.
"""

import sys
from typing import Any

import msgspec

from compartments.versions.live import choose, live_manifests
from compartments.versions.planning import Planning
from console import terminal
from console.access import access_of, code_of
from console.workplace import Workplace
from engine.plan import Param, Plan, PlanError
from havok.errors import NoVersion


def plan(place: Workplace, service: str, *, code: bool, as_json: bool) -> None:
    """Raises PlanError when it does not compile, NoVersion when there is no schema yet to compile on."""
    settings = place.service(service)
    planning = Planning()
    live = live_manifests(place.data_dir, place.settings.datasets)
    item = planning.deployment(place.settings, service, live)
    faults = [choose(place.data_dir, dataset, {}) for dataset in planning.datasets(place.settings, service)]
    told = [choice.fault for choice in faults if choice.fault is not None]
    if item.plan is None:
        assert item.refusal is not None
        if item.refusal.code == "bad_plan":
            raise PlanError(item.refusal.detail)
        raise NoVersion(f"service {service} cannot be planned: {told[0] if told else item.refusal.detail}")
    for fault in told:
        terminal.warn(fault)
    if code and not as_json:
        _print_code(code_of(item.plan, live))
        return
    document = _document(place, item.plan, dict(item.versions), grade=settings.grade)
    if as_json:
        terminal.print_json(document | ({"code": code_of(item.plan, live)} if code else {}))
    else:
        _show(document)


def _document(place: Workplace, found: Plan, versions: dict[str, str], grade: str) -> dict[str, Any]:
    limit = {"rps": found.rate_rps, "burst": found.rate_burst} if found.rate_rps is not None else None
    return {
        "service": found.service,
        "kind": found.kind,
        "compartment": found.compartment,
        "grade": grade,
        **access_of(found, place.data_dir, versions),
        "datasets": versions,
        "params": [_param(param) for param in found.params],
        "guards": {"rate_limit": limit, "weight": found.weight},
    }


def _param(param: Param) -> dict[str, Any]:
    rules: dict[str, Any] = msgspec.to_builtins(param.rules)
    return {"name": param.name, "type": param.shown_type, "default": param.default, "rules": rules}


def _show(document: dict[str, Any]) -> None:
    guards, output, access = document["guards"], document["output"], document["access"]
    reads = ", ".join(f"{dataset}@{version}" for dataset, version in document["datasets"].items())
    limit = guards["rate_limit"]
    columns = ", ".join(f"{column['name']} {column['type']}" for column in output["columns"])
    shown_limit = f"{limit['rps']:g} requests/s, burst {limit['burst']}" if limit else "no rate limit"
    lines = [
        ("service", f"{document['service']} ({document['kind']}, {document['grade']}) in {document['compartment']}"),
        ("access", access["text"]),
        *(("filter", text) for text in access.get("filters", ())),
        *(("columns", text) for text in [access.get("columns")] if text),
        *(("order", text) for text in [access.get("order")] if text),
        ("cost", document["cost"]["text"]),
        *(("pages", text) for text in [access.get("pages")] if text),
        ("reads", reads),
        ("guards", f"{shown_limit}; weight {guards['weight']:g} in a compartment above its low mark"),
        ("answers", f"{output['form']}: {columns}"),
    ]
    if access.get("advice"):
        lines.append(("cheaper", access["advice"]["text"]))
    for label, text in lines:
        terminal.say(f"{terminal.paint(f'{label:<8}', 'bold')} {text}")
    if document["cost"].get("warning"):
        terminal.warn(document["cost"]["warning"])
    rows = [
        [param["name"], param["type"], _default(param), _rules(param["rules"]) or "any"] for param in document["params"]
    ]
    terminal.say()
    terminal.print_table(["PARAMETER", "TYPE", "DEFAULT", "RULES"], rows)


def _default(param: dict[str, Any]) -> str:
    return "required" if param["default"] is None else terminal.plain(param["default"])


def _rules(rules: dict[str, Any]) -> str:
    return ", ".join(f"{name} {terminal.plain(value)}" for name, value in rules.items() if value not in (None, (), []))


def _print_code(source: str) -> None:
    if not terminal.is_terminal(sys.stdout):
        terminal.say(source.rstrip("\n"))
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(source, "python", theme="ansi_dark", background_color="default"))
