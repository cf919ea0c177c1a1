"""The supervisor: holds the listeners, keeps the processes running, tells them the facts.

Rule: it serves no data request. It reads configuration and snapshots, and writes neither.
"""

import asyncio
import logging
import os
from collections.abc import Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from compartments.announcer import Announcer
from compartments.balancer import Balancer
from compartments.changes import Changes
from compartments.facts.bus import Bus
from compartments.facts.ledger import Ledger
from compartments.heart import Heart
from compartments.machine.isolation import Isolation
from compartments.machine.limits import NICE_SUCCESSOR, rank_own_session
from compartments.people.audit import NODE, OPERATOR
from compartments.people.configuration import Configuration
from compartments.precedence import Precedence
from compartments.processes.claim import LOCK, lock_data_dir, next_epoch
from compartments.processes.code import code_id, passes
from compartments.processes.fleet import Fleet
from compartments.processes.launcher import Launcher, Site
from compartments.processes.member import Member, Patience
from compartments.processes.ports import Ports, addresses
from compartments.processes.renewals import Renewals
from compartments.processes.takeover import held_listeners, left_behind
from compartments.status import status
from compartments.versions.first_loads import FirstLoads
from compartments.versions.rollout import Rollout
from compartments.versions.stagers import Stagers, handle
from engine.plan import PlanError
from havok import messages
from havok.errors import ConfigError, HavokError
from havok.layout import live_version, make_run_dir
from havok.manifest import Manifest
from havok.settings import Settings

log = logging.getLogger(__name__)

REPLY_S = 0.1  # for the answer to an upgrade to leave, before who gave it is gone
WATCH_S = 1.0  # how often pointers are looked at, for changes nobody announced


class Supervisor:
    """`load_command` + [dataset] loads a dataset without a version in a process of its own.

    `check_command` says by its exit code whether the code that is installed now would serve this configuration.
    `inherited`: descriptors, by name, of the supervisor that this process was before an upgrade.
    """

    def __init__(
        self,
        config: Path,
        load_command: Sequence[str],
        patience: Patience | None = None,
        *,
        check_command: Sequence[str] = (),
        inherited: Mapping[str, int] | None = None,
    ) -> None:
        """Raises ConfigError with every fault of the configuration."""
        self._configuration = Configuration(config)
        self._patience = patience or Patience()
        self.data_dir = self._configuration.data_dir
        self.first_loads = FirstLoads(load_command, self.data_dir, lambda: self.settings)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._stagers = Stagers()
        self._wires: dict[str, bytes] = {}  # process → whom to answer to reach it
        self._check_command = check_command
        self._inherited = dict(inherited or {})
        self._hands_on = False

    # -- life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything up to running processes. Raises NodeError or ConfigError, both saying what to do."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = lock_data_dir(self.data_dir, self._inherited.get(LOCK))
        make_run_dir(self.data_dir)
        left = await asyncio.to_thread(left_behind, self.data_dir)
        inherited = {unquote(name): fd for name, fd in self._inherited.items() if name != LOCK}
        self._ports = Ports(await asyncio.to_thread(held_listeners, left, inherited))
        self._configuration.open_stored()
        await asyncio.to_thread(self._ports.open, addresses(self.settings))
        node = self.settings.node
        site = Site(self.data_dir, code_id())
        self._ledger = Ledger(next_epoch(self.data_dir))
        launcher = Launcher(site, self._ports, node, self._patience)
        isolation = Isolation(node.name, self.data_dir)
        self.fleet = Fleet(site, launcher, self._patience, self._fleet_changed, self._on_death, isolation)
        self.fleet.heed(self.settings)
        self.rollout = Rollout(self.data_dir, self.fleet, self._ledger, self._broadcast)
        self._renewals = Renewals(self.fleet, lambda: self._ports.keep(addresses(self.settings)))
        self._announcer = Announcer(self._ledger, self._broadcast, lambda: self.settings.compartments)
        self.changes = Changes(
            self._configuration, self.fleet, self.rollout, self._ports, self._load_first, self._renew_outdated
        )
        self._precedence = Precedence(self.fleet)
        self.balancer = Balancer(self.fleet, self.changes.audit, self._order, self._announcer.tell_pressure)
        self._bus = Bus(self._receive)
        if left is not None:
            log.info("adopted %d processes of an earlier supervisor", self.fleet.adopt(left))
        self.rollout.begin(self.settings)
        self._announcer.tell_peers(self.fleet.workers())
        self._heart = Heart(self.fleet, self._ledger, self._announcer, self._broadcast)
        self._bus.open(self.data_dir)  # now that all facts are there: nobody must see half of them
        self.fleet.resize(self.settings.compartments)
        self._own(self._heart.run())  # who connects only now must hear of it, or the next step waits for him
        await self.rollout.apply(self.settings)
        for choice in self.rollout.choices.values():
            if choice.fault is not None:
                log.error("%s", choice.fault)
        self._started.set()
        if self._inherited:
            rank_own_session(0)
        self._own(self._watch())
        self._own(self.balancer.run(lambda: self.settings.compartments))
        self._own(self._precedence.run())
        self._own(self._renewals.recycle(lambda: self.settings.compartments))
        self._load_first(self.settings.datasets)
        self._renew_outdated()

    @property
    def settings(self) -> Settings:  # as applied; what was refused is not among them
        return self._configuration.settings

    async def until_serving(self, timeout_s: float) -> bool:
        return await self.fleet.until_serving(timeout_s)

    def stop(self) -> None:
        """SIGTERM or Ctrl-C: `run` returns when everything has drained, even if an upgrade was about to begin."""
        self._hands_on = False
        self._ended.set()

    async def run(self) -> dict[str, int] | None:
        """Until told to stop; then drains, cleans up and returns None.

        Of an upgrade: leaves everything to the successor, and returns the descriptors that it is to inherit.
        """
        await self._ended.wait()
        hands_on = self._hands_on
        if not hands_on:
            await self.fleet.end()
            self._ports.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._hands_on:
            await self.fleet.leave()
            rank_own_session(NICE_SUCCESSOR)
        elif hands_on:  # told to stop meanwhile
            await self.fleet.end()
            self._ports.close()
        self._bus.close()
        if self._hands_on:
            return {LOCK: self._lock, **{quote(name, safe=""): fd for name, fd in self._ports.duplicates().items()}}
        os.close(self._lock)
        return None

    async def _upgrade(self) -> dict[str, str]:
        """Raises NodeError when what is installed now would not serve this node."""
        self.fleet.seating.isolation.prime()
        await passes(self._check_command, self.fleet.seating.quieten)
        code = code_id()
        self.changes.audit.note(OPERATOR, "upgrade", "node", f"to code {code}")
        self._hands_on = True
        asyncio.get_running_loop().call_later(REPLY_S, self._ended.set)
        return {"code": code}

    def reload(self) -> None:
        """SIGHUP: in the background, once all has started; what is refused is logged and shown in status."""
        self._own(self._reload_and_say())

    async def _reload_and_say(self) -> None:
        await self._started.wait()
        try:
            await self.changes.reload()
            log.info("configuration reloaded")
        except HavokError as error:
            log.error("configuration not applied: %s", error.detail)

    def _renew_outdated(self) -> None:
        self._own(self._renewals.renew_outdated())

    # -- the bus ---------------------------------------------------------------------

    def _broadcast(self, message: messages.Broadcast) -> None:
        self._bus.broadcast(message)

    def _receive(self, frames: list[bytes]) -> None:
        self._heart.wake()
        identity, *_, body = frames
        try:
            message = messages.decode_inbound(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error)[:200]
            reply = messages.Reply(error=f"not understood: {reason}; is this command of another version of Havok?")
            self._bus.answer(identity, reply)
            return
        if isinstance(message, messages.Report):
            self._hear(message, identity)
        elif isinstance(message, messages.Resync):
            self._bus.answer(identity, self._ledger.state())
        else:
            self._own(self._answer(identity, message))

    def _order(self, process: Member, order: messages.Give) -> None:
        wire = self._wires.get(process.name)
        if wire is not None:
            self._bus.answer(wire, order)

    def _hear(self, report: messages.Report, wire: bytes) -> None:
        if not self.fleet.hear(report):  # started by one who was killed before it was on record, or about to end
            return self._bus.answer(wire, messages.Leave())
        self._wires[report.process] = wire
        if report.faults:
            for sentence in self.rollout.note_damage(report.faults):
                log.error("%s", sentence)
        self._announcer.tell_peers(self.fleet.workers())
        self.rollout.heard()

    def _fleet_changed(self) -> None:
        self._heart.wake()
        self._wires = {name: wire for name, wire in self._wires.items() if name in self.fleet.processes}
        self._announcer.tell_peers(self.fleet.workers())
        self.rollout.heard()

    def _on_death(self, compartment: str, lived_s: float) -> None:
        changes = self.rollout.reversals.died(compartment, lived_s, monotonic())
        if changes:
            said = self.rollout.take_back(compartment, changes)
            log.error("%s", said)
            self._note(NODE, "take_back", compartment, said)

    # -- requests of commands --------------------------------------------------------

    async def _answer(self, identity: bytes, request: messages.Request) -> None:
        try:
            data = await self._perform(request)
            reply = messages.Reply(data=msgspec.msgpack.encode(data))
        except ConfigError as error:
            reply = messages.Reply(error=error.detail, faults=tuple(error.faults))
        except HavokError as error:
            reply = messages.Reply(error=error.detail)
        except Exception:
            log.exception("a command failed")
            reply = messages.Reply(error="the supervisor failed to do it; its log says why")
        self._bus.answer(identity, reply)

    async def _perform(self, request: messages.Request) -> Any:
        started = monotonic()
        match request:
            case messages.StatusRequest():
                return self.status()
            case messages.AcceptRequest(manifest=document):
                return self._accept(msgspec.json.decode(document, type=Manifest))
            case messages.StageRequest(dataset=dataset, version=version, pid=pid):
                return {"workers": await self._stage(dataset, version, pid)}
            case messages.UnstageRequest(dataset=dataset):
                return self.rollout.unstage(dataset)
            case messages.ActivateRequest(dataset=dataset):
                workers = await self.rollout.activate(dataset)
                actor = NODE if self.first_loads.loading == dataset else OPERATOR
                self._note(actor, "activate", dataset, f"version {self.rollout.live[dataset].version}")
                return {"workers": workers, "ms": round((monotonic() - started) * 1000, 3)}
            case messages.RestartRequest():
                self._note(OPERATOR, "restart", "node", "one process after another")
                return {"processes": await self._renewals.renew([*self.fleet.workers(), *self.fleet.gates()])}
            case messages.UpgradeRequest():
                return await self._upgrade()
            case messages.ScaleRequest():
                return await self.changes.scale(request)
            case messages.ReloadRequest():
                return await self.changes.reload()
            case messages.AddServiceRequest(document=document, file=file):
                return await self.changes.add_services(document, file)
            case messages.RemoveServiceRequest(name=name):
                return await self.changes.remove_service(name)

    def _note(self, actor: str, action: str, target: str, reason: str) -> None:
        self._own(asyncio.to_thread(self.changes.audit.note, actor, action, target, reason))

    def _accept(self, candidate: Manifest) -> dict[str, str]:
        try:
            return self.rollout.accept(candidate)
        except PlanError as error:
            log.warning("a candidate was refused: %s", error.detail)
            raise

    async def _stage(self, dataset: str, version: str, pid: int) -> int:
        self._stagers.forget(dataset)
        stager = handle(pid)
        workers = await self.rollout.stage(dataset, version)
        self._stagers.note(dataset, stager)
        return workers

    def status(self) -> dict[str, Any]:
        """The document of `havok status --json`."""
        seq = (self._ledger.epoch, self._ledger.seq)
        return status(
            self.fleet,
            self.rollout,
            self.data_dir,
            self._configuration.refused,
            seq,
            lambda name: self.balancer.describe(name) | {"scaled": self._configuration.scale_of(name)},
            self.first_loads.loading,
        )

    # -- data ------------------------------------------------------------------------

    def _load_first(self, names: Collection[str]) -> None:
        self.first_loads.ask(names)
        self._own(self.first_loads.run())

    async def _watch(self) -> None:
        """Notices what a killed command leaves: pointers that moved unannounced, and stages."""
        while True:
            await asyncio.sleep(WATCH_S)
            for name, choice in list(self.rollout.choices.items()):
                try:
                    if live_version(self.data_dir, name) != choice.pointer:
                        log.info("dataset %s: the pointer moved", name)
                        await self.rollout.activate(name)
                except (HavokError, OSError) as error:
                    log.error("dataset %s: %s", name, error)
            for name in self._stagers.take_gone():
                self.rollout.unstage(name)  # nothing, when it was activated

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the supervisor failed", exc_info=task.exception())
