"""A worker of compartment `one` without processes: its server, its deployer, its disk."""

import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

from compartments.facts.deployment import Deployment, deploy_key, standby_key
from compartments.versions.deployer import Deployer
from compartments.versions.planning import Planning
from engine.http.server import Server
from havok.layout import version_dir
from havok.manifest import MANIFEST_FILE, ROWS_FILE, read_manifest
from havok.settings import CompartmentSettings, DatasetSettings, ServiceSettings, Settings
from tests import snapshots
from tests.compartments.loops import Driver
from tests.compartments.node import maps

SETTINGS = Settings(
    datasets={"things": DatasetSettings(key=("id",))},
    compartments={"one": CompartmentSettings(business="x"), "two": CompartmentSettings(business="x")},
    services={
        "a": ServiceSettings(kind="kv", dataset="things", compartment="one"),
        "v": ServiceSettings(kind="kv", dataset="things", compartment="one", fields=("v",)),
        "b": ServiceSettings(kind="kv", dataset="things", compartment="two"),
    },
)


class Bench:
    def __init__(self, drive: Driver, path: Path) -> None:
        self.drive = drive
        self.path = path
        self.changes = 0
        self.server = Server(drive.loop, "one")
        self.deployer = Deployer(self.server, path, self._changed)
        self.facts: dict[str, bytes] = {}

    def _changed(self) -> None:
        self.changes += 1

    def build(self, number: int, column: str = "v") -> str:
        return snapshots.build(self.path, "things", {f"k{i}": {column: f"v{number}-{i}"} for i in range(20)}, number)

    def made(self, service: str, version: str) -> Deployment:
        manifest = read_manifest(version_dir(self.path, "things", version))
        return Planning().deployment(SETTINGS, service, {"things": manifest})

    def tell(self, facts: dict[str, Any], drop: tuple[str, ...] = ()) -> None:
        self.facts |= {key: msgspec.msgpack.encode(value) for key, value in facts.items()}
        for key in drop:
            del self.facts[key]
        self.deployer.follow(dict(self.facts))

    def serve(self, version: str, *services: str, standby: str | None = None) -> None:
        facts: dict[str, Any] = {deploy_key(name): self.made(name, version) for name in services or ("a",)}
        if standby:
            facts[standby_key("things")] = standby
        self.tell(facts)

    def settle(self) -> None:
        self.drive.until(lambda: self.deployer.settled and not self.deployer._opening)

    def serving(self, service: str = "a") -> str | None:
        return self.deployer.serving.get(service, {}).get("things")

    def locked(self, version: str) -> bool:
        """Whether somebody holds the version open, as retention asks."""
        with open(version_dir(self.path, "things", version) / MANIFEST_FILE) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def mapped(self, version: str) -> bool:
        return bool(maps(os.getpid(), str(version_dir(self.path, "things", version) / ROWS_FILE)))

    def close(self) -> None:
        self.drive.loop.run_until_complete(self.deployer.close())
        self.server.close()
