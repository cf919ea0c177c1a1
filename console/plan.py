"""`havok plan`: a service explained, from its settings and the version on disk.

Rule: plans with the engine's own planner, so that what is shown is what is served; a
running node is not needed.
"""

import sys
from typing import Any

import msgspec

from compartments.live import choose
from console import terminal
from console.workplace import Workplace
from engine.codegen import generate
from engine.plan import Fields, Param, Plan
from engine.planner import plan_service
from havok.errors import NoVersion
from havok.manifest import Manifest


def plan(place: Workplace, service: str, *, code: bool, as_json: bool) -> None:
    """Raises PlanError when it does not compile, NoVersion when there is no schema yet to compile on."""
    settings = place.service(service)
    choice = choose(place.data_dir, settings.dataset, {})
    if choice.manifest is None:
        why = choice.fault or f"dataset {settings.dataset} has no version yet; load it: havok load {settings.dataset}"
        raise NoVersion(f"service {service} cannot be planned: {why}")
    if choice.fault is not None:
        terminal.warn(choice.fault)
    found = plan_service(service, settings, choice.manifest)
    if code and not as_json:
        _print_code(generate(found))
        return
    document = _document(found, choice.manifest, grade=settings.grade)
    if as_json:
        terminal.print_json(document | ({"code": generate(found)} if code else {}))
    else:
        _show(document)


def _document(found: Plan, manifest: Manifest, grade: str) -> dict[str, Any]:
    key = ", ".join(param.name for param in found.params)
    limit = {"rps": found.rate_rps, "burst": found.rate_burst} if found.rate_rps is not None else None
    return {
        "service": found.service,
        "kind": found.kind,
        "compartment": found.compartment,
        "grade": grade,
        "access": {"path": "point lookup by key", "key": [param.name for param in found.params], "text": key},
        "cost": {"rows_max": found.rows_max, "batch_max": found.batch_max},
        "datasets": {manifest.dataset: manifest.version},
        "params": [_param(param) for param in found.params],
        "guards": {"rate_limit": limit},
        "output": {
            "form": "fields" if isinstance(found.output, Fields) else "whole row",
            "columns": [{"name": column.name, "type": column.type} for column in found.columns],
        },
    }


def _param(param: Param) -> dict[str, Any]:
    rules: dict[str, Any] = msgspec.to_builtins(param.rules)
    return {"name": param.name, "type": param.kind, "default": param.default, "rules": rules}


def _show(document: dict[str, Any]) -> None:
    cost, guards, output = document["cost"], document["guards"], document["output"]
    reads = ", ".join(f"{dataset}@{version}" for dataset, version in document["datasets"].items())
    limit = guards["rate_limit"]
    columns = ", ".join(f"{column['name']} {column['type']}" for column in output["columns"])
    shown_limit = f"{limit['rps']:g} requests/s, burst {limit['burst']}" if limit else "no rate limit"
    access, batch = document["access"], terminal.plural(cost["batch_max"], "key")
    for label, text in (
        ("service", f"{document['service']} ({document['kind']}, {document['grade']}) in {document['compartment']}"),
        ("access", f"{access['path']} ({access['text']})"),
        ("cost", f"at most {terminal.plural(cost['rows_max'], 'row')} a request, {batch} a batch"),
        ("reads", reads),
        ("guards", shown_limit),
        ("answers", f"{output['form']}: {columns}"),
    ):
        terminal.say(f"{terminal.paint(f'{label:<8}', 'bold')} {text}")
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
