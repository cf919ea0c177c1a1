"""What it costs to have a SQL service changed: from its settings to the next request's answer.

Rule: every step that a change takes, in one process and on one clock: the front reads the SQL
(supervisor), code is generated and compiled, bound to open snapshots, and the route is flipped
(worker). What the bus between them costs is `test_bus`'s. A round visits every service.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.questions import DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, datasets, questions
from bench.snapshots import loaded
from engine.front import plan_service
from engine.http.route import Route, SqlRoute
from engine.http.server import Server
from engine.programs import compile_plan
from engine.queries.select_program import CompiledSelect, SelectProgram
from engine.snapshot import Snapshot

SERVICES = (DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS)


@contextmanager
def snapshots(directory: Path, *, small: bool = False) -> Iterator[dict[str, Snapshot]]:
    """Versions of the datasets, open. `small`: a month of flights."""
    opened: dict[str, Snapshot] = {}
    try:
        for name, found in datasets().items():
            source = found.source or ""
            if small and name == "flights":
                source = f"SELECT * FROM '{source}' WHERE month = 1"
            opened[name] = loaded(directory, name, found.key, source, found.indexes)
        yield opened
    finally:
        for snapshot in opened.values():
            snapshot.release()


def made(service: str, opened: Mapping[str, Snapshot]) -> SelectProgram:
    """The program of one of the questions' services; the caller closes it."""
    settings = questions()[service].settings
    plan = plan_service(service, settings, {name: snapshot.manifest for name, snapshot in opened.items()})
    compiled = compile_plan(plan)
    assert isinstance(compiled, CompiledSelect)
    return SelectProgram(compiled, {name: opened[name] for name in plan.datasets})


@contextmanager
def deployer(opened: Mapping[str, Snapshot]) -> Iterator[Callable[[str], None]]:
    """→ a function that makes a service anew and flips to it; what served before is closed."""
    loop = uvloop.new_event_loop()
    server = Server(loop, "bench")
    live: dict[str, Route] = {}

    def deploy(service: str) -> None:
        before = live.get(service)
        live[service] = SqlRoute(made(service, opened), server.date)
        server.deploy(live)
        if before is not None:
            before.program.close()

    try:
        yield deploy
    finally:
        server.close()
        for route in live.values():
            route.program.close()
        loop.close()


def cpu_ms(opened: Mapping[str, Snapshot], rounds: int) -> dict[str, list[float]]:
    """By service, of each round: milliseconds of CPU; the first, which imports the front, is not kept."""
    took: dict[str, list[float]] = {service: [] for service in SERVICES}
    with deployer(opened) as deploy:
        for number in range(1 + rounds):
            gc.collect()
            for service in SERVICES:
                begun = time.process_time_ns()
                deploy(service)
                if number:
                    took[service].append((time.process_time_ns() - begun) / 1e6)
    return took
