"""SQL services in one worker's loop: several datasets, versions of each, and what an answer in hand keeps."""

import msgspec
import pytest

from compartments.deployment import Deployment, Stage, deploy_key, stage_key
from compartments.planning import Planning
from engine.http.route import SqlRoute, Unready
from havok.layout import version_dir
from havok.manifest import Manifest, read_manifest
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
        version = snapshots.build(self.bench.path, dataset, rows, number)
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
