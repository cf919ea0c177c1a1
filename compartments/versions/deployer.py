"""A worker's deployments: from wanted to served.

Rule: everything slow or fallible happens aside: files are verified, warmed and opened in a
thread (twins only for services that read them), programs compiled before they are needed;
then routes flip between two requests, all that a change touches at once. What fails leaves
the old route standing and is named in `faults`. A version is open while a route, a stage or
a standby wants it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from compartments.facts.deployment import Deployment, Refusal, Stage
from compartments.queries.pools import Pools
from compartments.versions.wanted import VersionKey, Wanted, elsewhere, entries_of_interest, rank_of, read_entries
from engine.analysis.verification import verify_twin
from engine.forms import arrow
from engine.http.route import Route, Target, Unready
from engine.http.server import Server
from engine.plan import Plan, Select
from engine.programs import AnyCompiled, AnyProgram, bind, compile_plan, route_class
from engine.snapshot import Snapshot, verify_snapshot
from havok.errors import DamagedVersion, HavokError, NoVersion, StoreDown
from havok.layout import version_dir
from havok.messages import ExecutorGauge

log = logging.getLogger(__name__)

T = TypeVar("T")
OPEN_AGAIN_S = 1.0  # after a shortage: of descriptors, of memory
_VERIFY_NICE = 10  # of the thread that hashes: requests come first on a shared core


class Deployer:
    """`on_change()` is called whenever what is served or found faulty changed."""

    def __init__(self, server: Server, data_dir: Path, on_change: Callable[[], None]) -> None:
        self._server = server
        self._data_dir = data_dir
        self._on_change = on_change
        self._entries = entries_of_interest()
        self._wanted = Wanted({}, (), frozenset())
        self._opening: dict[VersionKey, asyncio.Task[None]] = {}
        self._open: dict[VersionKey, Snapshot] = {}
        self._whole: set[VersionKey] = set()  # of the open ones, those whose twins were verified
        self._closing: dict[VersionKey, asyncio.Future[None]] = {}
        self._broken: dict[VersionKey, str] = {}
        self._put_off: dict[VersionKey, str] = {}  # not opened yet for want of something that is no fault of theirs
        self._plan_faults: dict[str, str] = {}
        self._prepared: dict[Deployment, AnyProgram] = {}  # compiled aside for a stage
        self._arrow: asyncio.Future[None] | None = None  # got ready, from the first plan that can answer in it
        self._pools = Pools(data_dir, server.loop)
        self._compiled: dict[str, AnyCompiled] = {}  # by service, of its newest plan
        self._served: dict[str, Deployment] = {}  # service → what its target was made from

    # -- what the worker reports -----------------------------------------------------

    @property
    def faults(self) -> dict[str, str]:
        damaged = {f"{dataset}@{version}": reason for (dataset, version), reason in self._broken.items()}
        put_off = {f"opening {dataset}@{version}": reason for (dataset, version), reason in self._put_off.items()}
        return damaged | put_off | self._plan_faults

    @property
    def serving(self) -> dict[str, dict[str, str]]:
        routes = (target for target in self._server.table.values() if isinstance(target, Route))
        return {
            route.service: {snapshot.dataset: snapshot.version for snapshot in route.program.snapshots}
            for route in routes
        }

    @property
    def staged(self) -> tuple[str, ...]:
        """Ids of stages whose programs are all compiled, or served already, and whose versions are open."""
        return tuple(
            stage.id
            for stage in self._wanted.stages
            if all(pair in self._open for pair in self._stage_versions(stage))
            and all(item in self._prepared or self._is_served(item) for item in self._mine(stage))
        )

    @property
    def settled(self) -> bool:
        """Everything wanted is served, or known to be faulty."""
        return all(self._is_served(wanted) or self._is_faulty(wanted) for wanted in self._wanted.deployments.values())

    @property
    def executors(self) -> tuple[ExecutorGauge, ...]:
        return self._pools.gauges

    @property
    def queries(self) -> dict[str, int]:
        return self._pools.queries

    def _is_served(self, deployment: Deployment) -> bool:
        return self._served.get(deployment.service) == deployment

    # -- following -------------------------------------------------------------------

    def follow(self, entries: Mapping[str, bytes]) -> None:
        """Acts on the facts: flips what can be flipped and starts opening the rest."""
        if not self._entries.follow(entries):
            return  # a bulletin about peers
        self._wanted = read_entries(self._entries)
        self._server.forwarding.rank = rank_of(self._wanted.deployments.values(), self._server.compartment)
        keep = self._wanted.versions(self._server.compartment)
        self._broken = {pair: reason for pair, reason in self._broken.items() if pair in keep}
        self._reconcile()

    def _reconcile(self) -> None:
        for pair in self._lacking() - self._opening.keys() - self._broken.keys():
            self._opening[pair] = self._server.loop.create_task(self._open_version(pair))
        self._flip()
        self._prepare_stages()
        keep = self._wanted.versions(self._server.compartment) | self._in_routes()
        for pair in [pair for pair in self._open if pair not in keep]:
            self._open.pop(pair).release()
            self._whole.discard(pair)
        used = [*self._served.values(), *self._prepared]
        self._pools.keep(item.executors for item in used if item.executors is not None)
        self._on_change()

    def _lacking(self) -> set[VersionKey]:
        """Versions, or twins of them, that are wanted and not to be had yet."""
        wanted, compartment = self._wanted, self._server.compartment
        return (wanted.versions(compartment) - self._open.keys()) | (wanted.twins(compartment) - self._whole)

    async def _open_version(self, pair: VersionKey) -> None:
        """Until all that is wanted of it is there, it is found damaged or wanted no more."""
        try:
            while pair in self._lacking():
                try:
                    await self._verify_and_open(pair)
                except DamagedVersion as error:
                    log.warning("%s@%s is not served: %s", *pair, error.detail)
                    self._broken[pair] = error.detail
                    break
                except Exception as error:
                    self._note_shortage(pair, error)
                    await asyncio.sleep(OPEN_AGAIN_S)
                else:
                    self._put_off.pop(pair, None)
                    if pair in self._lacking():  # its twin, which not everybody needs
                        self._reconcile()
        finally:
            del self._opening[pair]
            self._put_off.pop(pair, None)
        self._reconcile()

    async def _verify_and_open(self, pair: VersionKey) -> None:
        """First the rows; the twin when they are open already."""
        path = version_dir(self._data_dir, *pair)
        if pair in self._open:
            await self._server.loop.run_in_executor(None, _quietly, verify_twin, path)
            if pair in self._open:
                self._whole.add(pair)
            return
        if pair in self._closing:  # a file can be open only once in a process
            await asyncio.wait([self._closing[pair]])
        opening = partial(_open_quietly, path, self._report_damage, partial(self._close_aside, pair))
        snapshot = await self._server.loop.run_in_executor(None, opening)
        if pair in self._wanted.versions(self._server.compartment):
            self._open[pair] = snapshot
        else:
            snapshot.release()

    def _note_shortage(self, pair: VersionKey, error: Exception) -> None:
        """To be called where `error` is being handled. Called damage, it would move the whole node."""
        if pair not in self._put_off:
            log.exception("%s@%s cannot be opened now; it is tried again every %.0f s", *pair, OPEN_AGAIN_S)
        self._put_off[pair] = f"cannot be opened now: {getattr(error, 'strerror', None) or type(error).__name__}"
        self._reconcile()

    def _in_routes(self) -> set[VersionKey]:
        """Versions that are served, wanted or not: an old route stands while its successor fails."""
        routes = (target for target in self._server.table.values() if isinstance(target, Route))
        return {(item.dataset, item.version) for route in routes for item in route.program.snapshots}

    def _close_aside(self, pair: VersionKey, close: Callable[[], None]) -> None:
        closing = self._server.loop.run_in_executor(None, close)
        self._closing[pair] = closing
        closing.add_done_callback(lambda _: self._closing.pop(pair, None))

    def _report_damage(self, snapshot: Snapshot, reason: str) -> None:
        """A row failed while it was served: the supervisor brings another version."""
        pair = (snapshot.dataset, snapshot.version)
        if pair not in self._broken:
            log.error("%s@%s: %s", *pair, reason)
            self._broken[pair] = reason
            self._on_change()

    # -- compiling and flipping ------------------------------------------------------

    def _mine(self, stage: Stage) -> list[Deployment]:
        return [item for item in stage.deployments if item.compartment == self._server.compartment]

    def _stage_versions(self, stage: Stage) -> set[VersionKey]:
        return {pair for deployment in self._mine(stage) for pair in deployment.versions}

    def _prepare_stages(self) -> None:
        """What is to be had ready and is not served; other programs made for a stage are closed."""
        wanted = {item for stage in self._wanted.stages for item in self._mine(stage) if not self._is_served(item)}
        for deployment in [item for item in self._prepared if item not in wanted]:
            self._prepared.pop(deployment).close()
        for stage in self._wanted.stages:
            for deployment in wanted.intersection(self._mine(stage)) - self._prepared.keys():
                if deployment.plan is not None and self._is_open(deployment):
                    program = self._compile(deployment, stage.id)
                    if program is not None:
                        self._prepared[deployment] = program
            unopened = self._broken | self._put_off
            reasons = [unopened[pair] for pair in self._stage_versions(stage) if pair in unopened]
            if reasons:
                self._plan_faults[stage.id] = reasons[0]

    def _is_open(self, deployment: Deployment) -> bool:
        had = self._open.keys() if deployment.executors is None else self._whole
        return all(pair in had for pair in deployment.versions)

    def _is_faulty(self, deployment: Deployment) -> bool:
        unopened = self._broken.keys() | self._put_off.keys()
        return deployment.service in self._plan_faults or not unopened.isdisjoint(deployment.versions)

    def _compile(self, deployment: Deployment, fault_key: str) -> AnyProgram | None:
        assert deployment.plan is not None
        try:
            snapshots = {pair[0]: self._open[pair] for pair in deployment.versions}
            runner = None if deployment.executors is None else self._pools.of(deployment.executors)
            return bind(self._code(deployment.plan), snapshots, runner)
        except Exception as error:  # whatever is wrong with a plan, the old one stands
            log.exception("service %s does not compile", deployment.service)
            self._plan_faults[fault_key] = str(error)
            return None

    def _code(self, plan: Plan) -> AnyCompiled:
        """The plan compiled; a new version with the same schema finds it done."""
        compiled = self._compiled.get(plan.service)
        if compiled is None or compiled.plan != plan:
            compiled = self._compiled[plan.service] = compile_plan(plan)
            if self._arrow is None and isinstance(plan.access, Select):
                self._arrow = self._server.loop.run_in_executor(None, arrow.prepare)
        return compiled

    def _flip(self) -> None:
        """Makes every target that can be made, then puts them in place together."""
        targets: dict[str, Target | None] = {}
        for name, wanted in self._wanted.deployments.items():
            if self._is_served(wanted):
                self._plan_faults.pop(name, None)  # of a successor that was taken back
                continue
            target = self._target(name, wanted)
            if target is not None:
                targets[name] = target
                self._served[name] = wanted
                self._plan_faults.pop(name, None)
        for name in {target.service for target in self._server.table.values()} - self._wanted.deployments.keys():
            targets[name] = None
            self._served.pop(name, None)
            self._compiled.pop(name, None)
            self._plan_faults.pop(name, None)
        stages = {stage.id for stage in self._wanted.stages}
        known = stages | set(self._wanted.deployments)
        self._plan_faults = {key: reason for key, reason in self._plan_faults.items() if key in known}
        if targets:
            self._swap(targets)

    def _swap(self, targets: Mapping[str, Target | None]) -> None:
        old = [self._server.target(name) for name in targets]
        self._server.deploy(targets)
        for target in old:
            if isinstance(target, Route):
                target.program.close()

    def _target(self, name: str, wanted: Deployment) -> Target | None:
        """The target of a deployment; None while it cannot be made."""
        if wanted.compartment != self._server.compartment:
            return elsewhere(wanted)
        old = self._server.target(name)
        if wanted.plan is None:
            refusal = wanted.refusal or Refusal("internal", "no plan")
            if isinstance(old, Route) and refusal.code != "no_version":
                self._plan_faults[name] = refusal.detail  # the old plan serves on
                return None
            return Unready(name, _error(refusal))
        program = self._prepared.pop(wanted, None)
        if program is None:
            program = self._compile(wanted, name) if self._is_open(wanted) else None
        if program is not None:
            kept = (old.histogram, old.rate, old.budget) if isinstance(old, Route) else (None, None, None)
            made = route_class(program)
            return made(program, self._server.date, histogram=kept[0], limit=kept[1], budget=kept[2])
        if not isinstance(old, Route):  # and never Elsewhere: two workers would send a caller to and fro
            reason = next((self._broken[pair] for pair in wanted.versions if pair in self._broken), None)
            waiting = NoVersion(f"service {name} is starting", retry_after_s=1)
            self._server.deploy({name: Unready(name, StoreDown(reason) if reason else waiting)})
            self._served.pop(name, None)  # it is made from no deployment
        return None

    async def close(self) -> None:
        for task in list(self._opening.values()):
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for program in self._prepared.values():
            program.close()
        for snapshot in self._open.values():
            snapshot.release()
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        await self._pools.close()
        if self._arrow is not None:
            await asyncio.gather(self._arrow, return_exceptions=True)


def _error(refusal: Refusal) -> HavokError:
    if refusal.code == "no_version":
        return NoVersion(refusal.detail, retry_after_s=5)
    return StoreDown("the service has no plan that compiles; the node's operator sees why in its status")


def _open_quietly(
    path: Path, on_damage: Callable[[Snapshot, str], None], aside: Callable[[Callable[[], None]], object]
) -> Snapshot:
    return Snapshot(path, _quietly(verify_snapshot, path), on_damage, aside)


def _quietly(verify: Callable[[Path], T], path: Path) -> T:
    """Reads a whole file, and warms it, at low priority: on Linux nice is a thread's own."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _VERIFY_NICE)
    except OSError:
        log.debug("the verifying thread keeps its priority")
    return verify(path)
