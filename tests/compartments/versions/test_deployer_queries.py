"""SQL services in one worker's loop: several datasets, versions of each, and what an answer in hand keeps."""

import os

import msgspec
import pytest

from compartments.facts.deployment import Deployment, Stage, deploy_key, stage_key
from compartments.versions.planning import Planning
from engine.http.route import SqlRoute, Unready
from havok.layout import version_dir
from havok.manifest import TWIN_FILE, Manifest, read_manifest
from havok.settings import CompartmentSettings, DatasetSettings, ExecutorSettings, ServiceSettings, Settings
from tests import snapshots
from tests.compartments.workbench import Bench

JOIN = "SELECT t.id, t.v, o.v AS other FROM things t LEFT JOIN others o ON o.id = t.id WHERE t.id = :id"
COUNT = "SELECT count(*) AS n, max(v) AS last FROM things"
SETTINGS = Settings(
    datasets={"things": DatasetSettings(key=("id",)), "others": DatasetSettings(key=("id",))},
    compartments={"one": CompartmentSettings(business="x", executors=ExecutorSettings(memory_mb=128))},
    services={
        "join": ServiceSettings(kind="sql", sql=JOIN, compartment="one"),
        "thing": ServiceSettings(kind="kv", dataset="things", compartment="one"),
        "count": ServiceSettings(kind="sql", sql=COUNT, compartment="one", analytical=True),
    },
)


class Datasets:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.live: dict[str, Manifest] = {}
        self.planning = Planning()

    def build(self, dataset: str, number: int, column: str = "v") -> str:
        rows = {f"k{i}": {column: f"{dataset}-{number}-{i}"} for i in range(20)}
        version = snapshots.build(self.bench.path, dataset, rows, number, twin=b"")
        self.live[dataset] = read_manifest(version_dir(self.bench.path, dataset, version))
        return version

    def made(self, service: str, settings: Settings = SETTINGS) -> Deployment:
        return self.planning.deployment(settings, service, self.live)

    def serve(self, *services: str) -> None:
        self.bench.tell({deploy_key(name): self.made(name) for name in services})
        self.bench.settle()


@pytest.fixture
def datasets(bench: Bench) -> Datasets:
    return Datasets(bench)


def test_a_service_of_two_datasets_follows_both(bench: Bench, datasets: Datasets) -> None:
    things, others = datasets.build("things", 1), datasets.build("others", 1)
    datasets.serve("join")
    assert bench.deployer.serving["join"] == {"things": things, "others": others}
    newer = datasets.build("others", 2)
    bench.tell({stage_key("others"): Stage("s1", (datasets.made("join"),))})
    bench.drive.until(lambda: bench.deployer.staged == ("s1",))
    bench.tell({deploy_key("join"): datasets.made("join")})
    assert bench.deployer.serving["join"] == {"things": things, "others": newer}, "between two requests"
    route = bench.server.target("join")
    assert isinstance(route, SqlRoute)
    assert route.headers.startswith(f"Havok-Version: things@{things}, others@{newer}\r\n".encode())


def test_without_a_version_of_one_it_waits_and_says_for_which(bench: Bench, datasets: Datasets) -> None:
    datasets.build("things", 1)
    made = datasets.made("join")
    assert made.refusal is not None
    assert "havok load others" in made.refusal.detail
    bench.tell({deploy_key("join"): made})
    assert isinstance(bench.server.target("join"), Unready)


def test_the_same_plan_on_new_versions_is_not_compiled_again(bench: Bench, datasets: Datasets) -> None:
    datasets.build("things", 1)
    datasets.build("others", 1)
    datasets.serve("join")
    before = bench.deployer._compiled["join"]
    datasets.build("things", 2)
    datasets.serve("join")
    assert bench.deployer._compiled["join"] is before
    assert len(datasets.planning._plans) == 1


def test_a_plan_crosses_the_bus_whole(datasets: Datasets) -> None:
    datasets.build("things", 1)
    datasets.build("others", 1)
    for name in SETTINGS.services:
        made = datasets.made(name)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Deployment) == made
        assert {made: 1}[made], "a deployment is a dictionary key"


def test_an_analytical_service_keeps_the_versions_it_reads(bench: Bench, datasets: Datasets) -> None:
    things = datasets.build("things", 1)
    datasets.serve("count")
    assert bench.deployer.serving["count"] == {"things": things}
    assert bench.locked(things), "retention must not take its files"
    newer = datasets.build("things", 2)
    datasets.serve("count")
    assert bench.deployer.serving["count"] == {"things": newer}
    bench.drive.until(lambda: not bench.locked(things))


def damage_twin(bench: Bench, version: str) -> None:
    (version_dir(bench.path, "things", version) / TWIN_FILE).write_bytes(b"x")


def test_a_twin_is_verified_before_a_version_is_ready(bench: Bench, datasets: Datasets) -> None:
    """A pipe stands for one that is read for long: it ends when somebody writes to it."""
    old = datasets.build("things", 1)
    datasets.serve("thing", "count")
    version = datasets.build("things", 2)
    twin = version_dir(bench.path, "things", version) / TWIN_FILE
    twin.unlink()
    os.mkfifo(twin)
    stage = Stage("s1", tuple(datasets.made(name) for name in ("thing", "count")))
    bench.tell({stage_key("things"): stage})
    bench.drive.until(lambda: ("things", version) in bench.deployer._open, what="the rows are open")
    bench.drive.turn()
    assert bench.deployer.staged == ()
    bench.tell({deploy_key(name): datasets.made(name) for name in ("thing", "count")})
    assert bench.deployer.serving == {"thing": {"things": version}, "count": {"things": old}}, (
        "who needs no twin goes on"
    )
    assert not bench.deployer.settled
    os.close(os.open(twin, os.O_WRONLY))
    bench.settle()
    assert bench.deployer.serving["count"] == {"things": version}
    assert bench.deployer.staged == ("s1",)
    assert bench.deployer.faults == {}


def test_a_damaged_twin_refuses_the_stage_and_is_a_fault(bench: Bench, datasets: Datasets) -> None:
    old = datasets.build("things", 1)
    datasets.serve("thing", "count")
    version = datasets.build("things", 2)
    damage_twin(bench, version)
    bench.tell({stage_key("things"): Stage("s1", (datasets.made("thing"),))})
    bench.drive.until(lambda: bench.deployer.staged == ("s1",), what="a service without need of the twin")
    bench.tell({stage_key("things"): Stage("s2", (datasets.made("thing"), datasets.made("count")))})
    bench.drive.until(lambda: "s2" in bench.deployer.faults)
    assert "rows.parquet" in bench.deployer.faults["s2"]
    assert f"things@{version}" in bench.deployer.faults, "the supervisor chooses another"
    assert bench.deployer.serving == {"thing": {"things": old}, "count": {"things": old}}


def test_a_service_that_needs_the_twin_of_a_version_that_is_open_already(bench: Bench, datasets: Datasets) -> None:
    version = datasets.build("things", 1)
    datasets.serve("thing")
    assert bench.deployer._whole == set(), "what nobody reads is not verified"
    bench.tell({deploy_key("count"): datasets.made("count")})
    assert isinstance(bench.server.target("count"), Unready)
    bench.settle()
    assert bench.deployer._whole == {("things", version)}
    assert bench.deployer.serving["count"] == {"things": version}


def test_a_first_version_with_a_damaged_twin_is_503_for_queries_alone(bench: Bench, datasets: Datasets) -> None:
    version = datasets.build("things", 1)
    damage_twin(bench, version)
    datasets.serve("thing", "count")
    target = bench.server.target("count")
    assert isinstance(target, Unready)
    assert target.error.status == 503
    assert bench.deployer.serving == {"thing": {"things": version}}


def test_limits_that_nobody_has_any_more_end_their_pool(bench: Bench, datasets: Datasets) -> None:
    datasets.build("things", 1)
    datasets.serve("count")
    (before,) = bench.deployer._pools._pools
    assert before.memory_mb == 128
    wider = CompartmentSettings(business="x", executors=ExecutorSettings(memory_mb=256))
    settings = msgspec.structs.replace(SETTINGS, compartments={"one": wider})
    bench.tell({deploy_key("count"): datasets.made("count", settings)})
    bench.settle()
    assert [limits.memory_mb for limits in bench.deployer._pools._pools] == [256]
    bench.drive.until(lambda: not bench.deployer._pools._ending)
