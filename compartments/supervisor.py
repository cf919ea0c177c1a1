"""The supervisor: holds the listeners, keeps the processes running, tells them the facts.

Rule: it serves no data request. It reads configuration and snapshots, and writes neither.
"""

import asyncio
import logging
import os
from collections.abc import Collection, Coroutine, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import psutil
import zmq

from compartments.bus import Wire
from compartments.claim import listen, lock_data_dir, next_epoch
from compartments.configuration import Configuration
from compartments.deployment import peers_key
from compartments.first_loads import FirstLoads, changed_datasets
from compartments.fleet import Fleet, Patience, end_orphans
from compartments.ledger import Ledger
from compartments.live import Choice
from compartments.rollout import Rollout
from compartments.status import status
from compartments.stored import parse
from engine.plan import PlanError
from havok import messages
from havok.config import Loaded
from havok.errors import ConfigError, HavokError
from havok.layout import bulletin_socket, control_socket, live_version, make_run_dir
from havok.manifest import Manifest
from havok.settings import Settings

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.05  # a bulletin and three heartbeats in a row lost, at 30 %: 1 in 100, and still in time
LATE_S = 0.5  # a beat as late means that reports were not heard either
WATCH_S = 1.0  # how often pointers are looked at, for changes nobody announced
ORPHANS_WAIT_S = 15.0


class Supervisor:
    """`load_command` + [dataset] loads a dataset without a version in a process of its own."""

    def __init__(self, config: Path, load_command: Sequence[str], patience: Patience | None = None) -> None:
        """Raises ConfigError with every fault of the configuration."""
        self._configuration = Configuration(config)
        self._patience = patience or Patience()
        self.data_dir = self._configuration.data_dir
        self._applying = asyncio.Lock()  # one change of settings at a time
        self.first_loads = FirstLoads(load_command, self.data_dir, lambda: self.settings)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self._peers: dict[str, list[str]] = {}
        self._stagers: dict[str, psutil.Process | None] = {}  # dataset → who staged it last; None: gone already

    # -- life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Everything up to running processes. Raises NodeError or ConfigError, both saying what to do."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = lock_data_dir(self.data_dir)
        make_run_dir(self.data_dir)
        orphans = await asyncio.to_thread(end_orphans, self.data_dir, ORPHANS_WAIT_S)
        if orphans:
            log.warning("ended %d processes of an earlier supervisor of this data directory", orphans)
        self._listener = listen(self.settings.node.listen, "listen")
        self._configuration.open_stored()
        loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._bulletins = Wire(loop, self._context, zmq.PUB)
        self._bulletins.bind(bulletin_socket(self.data_dir))
        self._control = Wire(loop, self._context, zmq.ROUTER, self._receive)
        self._control.bind(control_socket(self.data_dir))
        self._ledger = Ledger(next_epoch(self.data_dir))
        node = self.settings.node
        self.fleet = Fleet(self.data_dir, self._listener, node.drain_s, self._patience, self._fleet_changed)
        self.rollout = Rollout(self.data_dir, self.fleet, self._ledger, self._broadcast)
        await self.rollout.apply(self.settings)
        self._say_faults(self.rollout.choices.values())
        self.fleet.resize(self.settings.compartments)
        self._own(self._beat())
        self._own(self._watch())
        self._load_first(self.settings.datasets)

    @property
    def settings(self) -> Settings:
        """As applied; a configuration that was refused is not among them."""
        return self._configuration.settings

    async def until_serving(self, timeout_s: float) -> bool:
        """True when the gate accepts and every worker is ready."""
        deadline = monotonic() + timeout_s
        while monotonic() < deadline and not self._ended.is_set():
            processes = [*self.fleet.workers(), *self.fleet.gates()]
            if processes and all(process.was_ready for process in processes):
                return True
            await asyncio.sleep(0.01)
        return False

    def stop(self) -> None:
        """SIGTERM or Ctrl-C: `run` returns when everything has drained."""
        self._ended.set()

    async def run(self) -> None:
        """Until told to stop; then drains and cleans up."""
        await self._ended.wait()
        self._listener.close()
        await self.fleet.end()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._control.close()
        self._bulletins.close()
        self._context.term()
        os.close(self._lock)

    def reload(self) -> None:
        """SIGHUP: in the background; what is refused is logged and shown in status."""
        self._own(self._reload_and_say())

    async def _reload_and_say(self) -> None:
        try:
            await self.reload_settings()
            log.info("configuration reloaded")
        except HavokError as error:
            log.error("configuration not applied: %s", error.detail)

    async def reload_settings(self) -> None:
        """Reads and applies the configuration. Raises ConfigError; then nothing changed."""
        async with self._applying:
            loaded = self._configuration.changed()
            await self._apply(loaded)
        self._load_first(loaded.settings.datasets)  # those that failed may be mended by now

    async def _apply(self, loaded: Loaded) -> None:
        """New compartments first, then services move, then what is left over retires."""
        grown = {**self.settings.compartments, **loaded.settings.compartments}
        self._configuration.adopt(loaded)
        self.fleet.drain_s = self.settings.node.drain_s
        self.fleet.resize(grown)
        await self.until_serving(timeout_s=10)
        await self.rollout.apply(loaded.settings)
        self.fleet.resize(loaded.settings.compartments)

    # -- the bus ---------------------------------------------------------------------

    def _broadcast(self, message: messages.Broadcast) -> None:
        self._bulletins.send([messages.encode(message)])

    async def _beat(self) -> None:
        due = monotonic()
        while True:
            late_s = monotonic() - due
            if late_s > LATE_S:
                log.warning("the supervisor was held up for %.1f s", late_s)
                self.fleet.excuse(late_s)
            self._broadcast(self._ledger.heartbeat())
            self.fleet.check_hung()
            self._list_peers()
            due = monotonic() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)

    def _receive(self, frames: list[bytes]) -> None:
        identity, *_, body = frames
        try:
            message = messages.decode_inbound(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error)[:200]
            reply = messages.Reply(error=f"not understood: {reason}; is this command of another version of Havok?")
            self._control.send([identity, messages.encode(reply)])
            return
        if isinstance(message, messages.Report):
            self._hear(message)
        elif isinstance(message, messages.Resync):
            self._control.send([identity, messages.encode(self._ledger.state())])
        else:
            self._own(self._answer(identity, message))

    def _hear(self, report: messages.Report) -> None:
        self.fleet.hear(report)
        if report.faults:
            for sentence in self.rollout.note_damage(report.faults):
                log.error("%s", sentence)
        self._list_peers()
        self.rollout.heard()

    def _fleet_changed(self) -> None:
        self._list_peers()
        self.rollout.heard()

    def _list_peers(self) -> None:
        """Publishes who takes connections, when that changed."""
        peers: dict[str, list[str]] = {name: [] for name in self.settings.compartments}
        for process in self.fleet.workers():
            leaving = process.report is not None and process.report.draining  # told to by somebody else
            if process.was_ready and not process.silent and not leaving:
                peers.setdefault(process.compartment, []).append(process.inbox)
        if peers != self._peers:
            drop = [peers_key(name) for name in self._peers if name not in peers]
            self._peers = peers
            bulletin = self._ledger.change(
                {peers_key(name): msgspec.msgpack.encode(paths) for name, paths in peers.items()}, drop
            )
            if bulletin is not None:
                self._broadcast(bulletin)

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
        self._control.send([identity, messages.encode(reply)])

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
                return {"workers": workers, "ms": round((monotonic() - started) * 1000, 3)}
            case messages.ReloadRequest():
                return await self.reload_settings()
            case messages.AddServiceRequest(document=document, file=file):
                return await self._add_services(document, file)
            case messages.RemoveServiceRequest(name=name):
                return await self._remove_service(name)

    def _accept(self, candidate: Manifest) -> dict[str, str]:
        try:
            return self.rollout.accept(candidate)
        except PlanError as error:
            log.warning("a candidate was refused: %s", error.detail)
            raise

    async def _stage(self, dataset: str, version: str, pid: int) -> int:
        self._stagers.pop(dataset, None)
        stager = _process(pid)
        workers = await self.rollout.stage(dataset, version)
        self._stagers[dataset] = stager
        return workers

    async def _add_services(self, document: str, file: str) -> dict[str, Any]:
        """Checked and compiled first; stored and served only when all of them are right."""
        async with self._applying:
            loaded = self._configuration.with_services(document, file, self.rollout.live)
            self._configuration.stored.add(document)
            await self._change_services(loaded)
        names = sorted(parse(document))
        waiting = {name: self.rollout.waits_for(name) for name in names}
        return {"services": names, "waiting": {name: found for name, found in waiting.items() if found}}

    async def _remove_service(self, name: str) -> dict[str, Any]:
        async with self._applying:
            loaded = self._configuration.without_service(name)
            self._configuration.stored.remove(name)
            await self._change_services(loaded)
        return {"services": [name]}

    async def _change_services(self, loaded: Loaded) -> None:
        """What failed to load before is not tried again for it, unless the file says something else of it by now."""
        unknown = changed_datasets(self.settings, loaded.settings)
        await self._apply(loaded)
        self._load_first(unknown)

    def status(self) -> dict[str, Any]:
        """The document of `havok status --json`."""
        seq = (self._ledger.epoch, self._ledger.seq)
        return status(
            self.fleet, self.rollout, self.data_dir, self._configuration.refused, seq, self.first_loads.loading
        )

    # -- data ------------------------------------------------------------------------

    def _load_first(self, names: Collection[str]) -> None:
        self.first_loads.ask(names)
        self._own(self.first_loads.run())

    async def _watch(self) -> None:
        """Notices what a killed command leaves: pointers that moved without an announcement, and stages."""
        while True:
            await asyncio.sleep(WATCH_S)
            for name, choice in list(self.rollout.choices.items()):
                try:
                    if live_version(self.data_dir, name) != choice.pointer:
                        log.info("dataset %s: the pointer moved", name)
                        await self.rollout.activate(name)
                except (HavokError, OSError, ValueError) as error:  # a pointer that is no text is a ValueError
                    log.error("dataset %s: %s", name, error)
            for name in [name for name, stager in self._stagers.items() if not _is_there(stager)]:
                del self._stagers[name]
                self.rollout.unstage(name)  # nothing, when it was activated

    def _say_faults(self, choices: Iterable[Choice]) -> None:
        for choice in choices:
            if choice.fault is not None:
                log.error("%s", choice.fault)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the supervisor failed", exc_info=task.exception())


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _is_there(process: psutil.Process | None) -> bool:
    """Whether it still runs: it, and not another one of the same number."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
