"""New versions and plans: staged in the workers, then flipped to, and acknowledged.

Rule: two steps. A stage asks the workers concerned to open, verify, warm and compile aside;
only when all are ready is the change published, which is then one flip between two
requests everywhere. Nothing that fails on the way has touched what is served.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic

import msgspec

from compartments.facts.deployment import Deployment, Stage, deploy_key, limits_key, marks_key, stage_key, standby_key
from compartments.facts.ledger import Ledger
from compartments.processes.fleet import Fleet
from compartments.processes.member import Member
from compartments.versions.live import Choice, choose
from compartments.versions.planning import Planning
from compartments.versions.reversals import Reversals
from compartments.versions.suspects import Change
from havok.errors import NodeError
from havok.layout import version_dir
from havok.manifest import Manifest, read_manifest
from havok.messages import Bulletin
from havok.settings import Settings

log = logging.getLogger(__name__)

OLD_PLAN = "\n    the plan it had serves on until this is mended"
STAGE_S_MAX = 600.0  # a snapshot of 100 GB is hashed in less
FLIP_S_MAX = 10.0  # opening was done before; what takes longer is reported
RESTAGES_MAX = 5  # of new settings, each time for a version that went live while the last were staged
_encode = msgspec.msgpack.encode


class Rollout:
    """`publish(bulletin)` sends a change to every follower."""

    def __init__(self, data_dir: Path, fleet: Fleet, ledger: Ledger, publish: Callable[[Bulletin], None]) -> None:
        self._data_dir = data_dir
        self._fleet = fleet
        self._ledger = ledger
        self._publish = publish
        self._damaged: dict[str, dict[str, str]] = {}  # dataset → version → reason
        self._changed = asyncio.Event()
        self._stages = 0
        self._staged: dict[str, str] = {}  # what is staged → the id of its stage
        self.planning = Planning()
        self.reversals = Reversals()
        self.settings = Settings()
        self.choices: dict[str, Choice] = {}

    # -- what is to be served --------------------------------------------------------

    @property
    def live(self) -> dict[str, Manifest]:
        return _manifests(self.choices)

    def wanted(self) -> dict[str, Deployment]:
        return self.reversals.overlaid(self.planning.deployments(self.settings, self.live))

    def waits_for(self, service: str) -> list[str]:
        """The datasets without a version that a service cannot be compiled before."""
        refusal = self.planning.deployment(self.settings, service, self.live).refusal
        datasets = self.planning.datasets(self.settings, service)
        is_waiting = refusal is not None and refusal.code == "no_version"
        return [name for name in datasets if name not in self.live] if is_waiting else []

    def accept(self, manifest: Manifest) -> dict[str, str]:
        """Services that are not served now and would not compile on a manifest, with the reason.

        Raises PlanError with a sentence for each that is served, and would not.
        """
        return self.planning.accept(self.settings, self.live, manifest)

    def look(self, datasets: Iterable[str]) -> None:
        """Reads pointers and manifests again."""
        for name in datasets:
            self.choices[name] = self._choose(name)
        self.choices = {name: choice for name, choice in self.choices.items() if name in self.settings.datasets}

    def _choose(self, dataset: str) -> Choice:
        return choose(self._data_dir, dataset, self._damaged.get(dataset, {}))

    def begin(self, settings: Settings) -> None:
        """The facts of a supervisor that has just started, before anybody hears of them."""
        self.settings = settings
        self.look(settings.datasets)
        self.publish()

    def publish(self, *, suspect: bool = True) -> None:
        """Makes the facts what settings and live versions ask for, in one bulletin. `suspect`: see `Reversals.note`."""
        wanted = self.wanted()
        self.reversals.note(wanted, monotonic(), suspect=suspect)
        entries = {deploy_key(name): _encode(item) for name, item in wanted.items()}
        for name, choice in self.choices.items():
            if choice.standby is not None:
                entries[standby_key(name)] = _encode(choice.standby)
        for name, compartment in self.settings.compartments.items():
            if compartment.connections_max is not None:
                entries[limits_key(name)] = _encode(compartment.connections_max)
            entries[marks_key(name)] = _encode(compartment.watermarks)
        kinds = ("deploy/", "standby/", "limits/", "marks/")
        stale = [key for kind in kinds for key in self._ledger.keys(kind)]
        self._change(entries, (key for key in stale if key not in entries))

    def _change(self, entries: dict[str, bytes], drop: Iterable[str] = ()) -> None:
        bulletin = self._ledger.change(entries, drop)
        if bulletin is not None:
            self._publish(bulletin)

    # -- steps -----------------------------------------------------------------------

    async def stage(self, dataset: str, version: str) -> int:
        """Gets a placed version ready in every worker concerned; how many those are.

        Raises NodeError naming the plan or the worker that refuses it, DamagedVersion.
        """
        manifest = read_manifest(version_dir(self._data_dir, dataset, version))
        broken, _ = self.planning.refusals_on(self.settings, self.live, manifest)
        if broken:
            raise NodeError("\n".join(broken.values()))
        after = {**self.live, dataset: manifest}
        names = self.planning.dependents(self.settings, dataset)
        made = (self.planning.deployment(self.settings, name, after) for name in names)
        items = tuple(item for item in made if item.plan is not None)  # what has none holds the others up for nothing
        workers = await self._stage(dataset, f"{dataset}@{version}", items)
        self._damaged.get(dataset, {}).pop(version, None)  # they found it whole
        return workers

    async def _stage(self, key: str, label: str, items: tuple[Deployment, ...]) -> int:
        self._stages += 1
        stage = Stage(
            f"{label}#{self._ledger.epoch}.{self._stages}", items
        )  # unlike any that another supervisor asked for
        self._staged[key] = stage.id
        self._change({stage_key(key): _encode(stage)})
        compartments = {item.compartment for item in items}

        def waiting() -> list[Member]:
            return [
                process
                for process in self._fleet.workers()
                if process.compartment in compartments
                and (process.report is None or not {stage.id} & ({*process.report.staged} | {*process.report.faults}))
            ]

        in_time = await self._until(lambda: self._staged.get(key) != stage.id or not waiting(), STAGE_S_MAX)
        if self._staged.get(key) != stage.id:
            raise NodeError(f"{label}: given up, something else was asked for meanwhile")
        if not in_time:
            self.unstage(key)
            raise NodeError(f"{label}: {waiting()[0].name} was not ready after {STAGE_S_MAX:.0f} s")
        refusals = {
            process.name: process.report.faults[stage.id]
            for process in self._fleet.workers()
            if process.report is not None and stage.id in process.report.faults
        }
        if refusals:
            self.unstage(key)
            name, reason = next(iter(refusals.items()))
            raise NodeError(f"worker {name} refuses {label}: {reason}")
        return sum(process.compartment in compartments for process in self._fleet.workers())

    def unstage(self, key: str) -> None:
        self._staged.pop(key, None)
        self._change({}, [stage_key(key)])
        self.heard()

    async def activate(self, dataset: str) -> int:
        """Flips to the version the pointer names; returns the number of workers.

        Raises NodeError when some worker did not get there within FLIP_S_MAX.
        """
        before = self.choices.get(dataset)
        self.look([dataset])
        choice = self.choices.get(dataset)
        if choice is not None and before is not None and before.manifest is not None and choice.fault is None:
            old = before.manifest.version
            moved = choice.manifest is not None and choice.manifest.version != old
            if moved and version_dir(self._data_dir, dataset, old).is_dir():
                self.choices[dataset] = msgspec.structs.replace(choice, standby=old)
        stage = self._staged.get(dataset)
        self.publish()
        try:
            names = self.planning.dependents(self.settings, dataset)
            self._say_refusals(names)
            workers = await self._acknowledged(names)
            live = self.live.get(dataset)
            on = f"{workers} worker{'' if workers == 1 else 's'}"
            log.info("dataset %s: %s is live on %s", dataset, live.version if live else "nothing", on)
            return workers
        finally:
            if stage is not None and self._staged.get(dataset) == stage:
                self.unstage(dataset)

    async def _acknowledged(self, names: Iterable[str]) -> int:
        """Until every worker serves the named services as wanted: then, should it be something else meanwhile."""
        names = tuple(names)
        wanted: list[Deployment] = []
        seq = -1

        def behind() -> list[tuple[Member, Deployment]]:
            nonlocal wanted, seq
            if seq != self._ledger.seq:
                wanted, seq = self._served(names), self._ledger.seq
            return [
                (process, item)
                for item in wanted
                for process in self._fleet.workers(item.compartment)
                if process.was_ready
                and (process.report is None or process.report.serving.get(item.service) != dict(item.versions))
            ]

        if not await self._until(lambda: not behind(), FLIP_S_MAX):
            process, item = behind()[0]
            raise NodeError(f"{process.name} does not serve {item.service} as asked; see: havok status")
        return len({p.name for item in wanted for p in self._fleet.workers(item.compartment)})

    def _served(self, names: Iterable[str]) -> list[Deployment]:
        """Of the services named, those that there are and that have a plan."""
        wanted = self.wanted()
        return [wanted[name] for name in names if name in wanted and wanted[name].plan is not None]

    def _all_followed(self) -> bool:
        """Every process that listens has acted on the newest facts."""
        return all(
            process.report is not None and self._ledger.is_reached(process.report.epoch, process.report.seq)
            for process in self._fleet.processes.values()
            if process.was_ready and not process.silent and not process.draining
        )

    async def apply(self, settings: Settings) -> None:
        """New settings: what changes is compiled aside, then everything flips at once.

        Until then they are nobody else's: what is published meanwhile follows the old ones. A
        plan that fails leaves its old one standing; status says so.
        """
        staged: set[Deployment] = set()
        for _ in range(RESTAGES_MAX):
            changed = self._changed_by(settings)
            if staged.issuperset(changed):
                break
            try:
                await self._stage("(settings)", "settings", changed)
            except NodeError as error:
                log.warning("%s", error.detail)
            staged = set(changed)
        self.settings = settings
        self.look(settings.datasets)
        self.publish()
        self.unstage("(settings)")
        self._say_refusals(settings.services)
        if not await self._until(self._all_followed, FLIP_S_MAX):
            log.warning("not every process follows yet; see: havok status")

    def _say_refusals(self, names: Iterable[str]) -> None:
        wanted = self.wanted()
        for name in names:
            refusal = wanted[name].refusal
            if refusal is not None and refusal.code == "bad_plan":
                log.error("%s%s", refusal.detail, OLD_PLAN if self._is_served(name) else "")

    def _is_served(self, name: str) -> bool:
        """By whatever plan."""
        return any(process.report is not None and name in process.report.serving for process in self._fleet.workers())

    def _changed_by(self, settings: Settings) -> tuple[Deployment, ...]:
        """Plans that are another or elsewhere under these settings; none while nothing is deployed at all."""
        old = {key: value for key, value in self._ledger.state().entries.items() if key.startswith("deploy/")}
        if not old:
            return ()
        live = _manifests({name: self._choose(name) for name in settings.datasets})
        wanted = self.planning.deployments(settings, live)
        return tuple(
            item
            for name, item in wanted.items()
            if item.plan is not None and old.get(deploy_key(name)) != _encode(item)
        )

    # -- hearing back ----------------------------------------------------------------

    def heard(self) -> None:
        """A report came or a process changed: waiting steps look again."""
        self._changed.set()

    async def _until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """False when it was not done in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not done():
            self._changed.clear()
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 0.5))
            except TimeoutError:
                continue
        return True

    def note_damage(self, faults: dict[str, str]) -> list[str]:
        """Faults that workers report of live versions → another version is chosen, where there is one.

        Returns a sentence for each version that was not known to be damaged.
        """
        said: list[str] = []
        for fault, reason in faults.items():
            dataset, _, version = fault.partition("@")
            manifest = self.live.get(dataset)
            known = self._damaged.get(dataset, {})
            if manifest is None or manifest.version != version or version in known:
                continue
            damaged = known | {version: reason}
            self.choices[dataset] = choose(self._data_dir, dataset, damaged)
            self._damaged[dataset] = damaged  # only now: where choosing failed, the next report tries again
            said.append(self.choices[dataset].fault or f"{dataset}@{version}: {reason}")
        if said:
            self.publish()
        return said

    def take_back(self, compartment: str, changes: Sequence[Change]) -> str:
        """Takes changes back that workers die of; a sentence that says which."""
        reason = f"workers of {compartment} died again and again after it went live"
        versions = dict.fromkeys(pair for change in changes for pair in change.new_versions)
        for dataset, version in versions:
            self._damaged[dataset] = self._damaged.get(dataset, {}) | {version: reason}
            self.choices[dataset] = self._choose(dataset)
        plans = [change for change in changes if not change.new_versions]
        for change in plans:
            self.reversals.hold_back(change)
        self.publish(suspect=False)
        names = [f"{dataset}@{version}" for dataset, version in versions] + [f"service {c.service}" for c in plans]
        return f"taken back: {', '.join(names)}: {reason}"


def _manifests(choices: Mapping[str, Choice]) -> dict[str, Manifest]:
    return {name: choice.manifest for name, choice in choices.items() if choice.manifest is not None}
