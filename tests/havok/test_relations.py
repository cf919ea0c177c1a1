"""How settings must relate; pure, so a table of settings and findings."""

from collections.abc import Collection

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from havok.addresses import address
from havok.relations import check, check_names
from havok.settings import (
    CompartmentSettings,
    DatasetSettings,
    ExecutorSettings,
    LoaderSettings,
    NodeSettings,
    ParamSettings,
    QualitySettings,
    RateLimitSettings,
    ServiceSettings,
    Settings,
    Watermarks,
    WorkerCount,
)
from havok.typed import dotted

CPUS = (0, 1, 2, 5)
SOUND = Settings(
    datasets={"airports": DatasetSettings(key=("faa", "day"))},
    compartments={"high": CompartmentSettings(business="travel", cpus=(0, 5))},
    services={"airport": ServiceSettings(kind="kv", dataset="airports", compartment="high")},
)


SQL = ServiceSettings(kind="sql", compartment="high", sql="SELECT name FROM airports WHERE faa = :faa")


def faults_of(settings: Settings) -> list[str]:
    declared: dict[str, Collection[str]] = {
        "datasets": settings.datasets,
        "compartments": settings.compartments,
        "services": settings.services,
    }
    return [f"{dotted(finding.path)}: {finding.reason}" for finding in check(settings, CPUS, declared)]


def with_node(**change: object) -> Settings:
    return msgspec.structs.replace(SOUND, node=NodeSettings(**change))  # type: ignore[arg-type]


def with_dataset(**change: object) -> Settings:
    dataset = msgspec.structs.replace(SOUND.datasets["airports"], **change)
    return msgspec.structs.replace(SOUND, datasets={"airports": dataset})


def with_compartment(**change: object) -> Settings:
    compartment = msgspec.structs.replace(SOUND.compartments["high"], **change)
    return msgspec.structs.replace(SOUND, compartments={"high": compartment})


def with_service(**change: object) -> Settings:
    service = msgspec.structs.replace(SOUND.services["airport"], **change)
    return msgspec.structs.replace(SOUND, services={"airport": service})


def with_sql(**change: object) -> Settings:
    return msgspec.structs.replace(SOUND, services={"near": msgspec.structs.replace(SQL, **change)})


def with_executors(**change: object) -> Settings:
    return with_compartment(executors=ExecutorSettings(**change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        SOUND,
        Settings(),
        with_node(listen="127.0.0.1:0", admin="127.0.0.1:0"),
        with_node(listen="[::1]:8080", admin="localhost:8081"),
        with_node(listen="127.0.0.1:80", admin="127.0.0.2:80"),
        with_compartment(watermarks=Watermarks(low=0.0, high=1.0)),
        with_compartment(cores=0.5, cpus=(), fds=256, connections_max=1),
        with_service(params={"faa": ParamSettings(pattern="x")}, batch_max=10_000),
        with_sql(max_rows_scanned=10_000_000),
        with_sql(analytical=True),
        with_sql(sql="whatever the planner makes of it", params={"Faa_1": ParamSettings(type="float", min=0.5)}),
        with_sql(params={"faas": ParamSettings(type="list<string>", max_items=1)}),
        with_executors(processes=16, memory_mb=64, threads=64, timeout_s=3600.0),
    ],
)
def test_sound_settings_have_no_findings(settings: Settings) -> None:
    assert faults_of(settings) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (with_node(name="a b"), "node.name: expected letters, digits, dots, - or _ (63 at most), got the string 'a b'"),
        (with_node(zone=""), "node.zone: expected letters, digits, dots, - or _ (63 at most), got the string ''"),
        (with_node(data_dir=" "), "node.data_dir: is empty"),
        (with_node(data_dir="a\0b"), "node.data_dir: holds a NUL character"),
        (with_node(drain_s=0.0), "node.drain_s: must be more than 0, is 0"),
        (
            with_node(listen="8080"),
            "node.listen: expected \"host:port\" with a port from 1 to 65535, got the string '8080'",
        ),
        (
            with_node(admin="h:65536"),
            "node.admin: expected \"host:port\" with a port from 1 to 65535, got the string 'h:65536'",
        ),
        (
            with_node(admin=":81"),
            "node.admin: the string '' is no host; for every interface write \"0.0.0.0:81\"",
        ),
        (with_node(listen="[::g]:80"), "node.listen: ::g is no IPv6 address"),
        (
            with_node(listen="127.0.0.1:8081"),
            "node.admin: node.admin (127.0.0.1:8081) and node.listen (127.0.0.1:8081) need different ports",
        ),
        (
            with_node(listen="0.0.0.0:8081"),
            "node.admin: node.admin (127.0.0.1:8081) and node.listen (0.0.0.0:8081) need different ports",
        ),
        (
            msgspec.structs.replace(SOUND, loader=LoaderSettings(memory_mb=191)),
            "loader.memory_mb: must be at least 192, is 191: a sort needs as much to spill",
        ),
        (
            msgspec.structs.replace(SOUND, loader=LoaderSettings(threads=-1)),
            "loader.threads: must be from 0 to 1024, is -1",
        ),
        (with_dataset(key=()), "datasets.airports.key: a dataset needs at least one key column"),
        (with_dataset(key=("faa", "faa")), "datasets.airports.key[1]: column faa is named twice"),
        (with_dataset(key=("faa", " ")), "datasets.airports.key[1]: a column name is empty"),
        (with_dataset(source=""), "datasets.airports.source: is empty"),
        (with_dataset(keep_versions=0), "datasets.airports.keep_versions: must be at least 1, is 0"),
        (with_dataset(indexes={"by_x": ()}), "datasets.airports.indexes.by_x: an index needs at least one column"),
        (with_dataset(indexes={"by_x": ("a", "a")}), "datasets.airports.indexes.by_x[1]: column a is named twice"),
        (
            with_dataset(indexes={"By": ("a",)}),
            "datasets.airports.indexes.By: a name is a lower-case letter, then up to 62 lower-case letters, "
            "digits, - or _",
        ),
        (with_dataset(columns={"lat": ""}), "datasets.airports.columns.lat: is empty"),
        (
            with_dataset(quality=QualitySettings(min_rows=-1)),
            "datasets.airports.quality.min_rows: must be at least 0, is -1",
        ),
        (
            with_dataset(quality=QualitySettings(max_row_change=0.0)),
            "datasets.airports.quality.max_row_change: must be more than 0, is 0",
        ),
        (
            with_dataset(quality=QualitySettings(not_null=("a", "a"))),
            "datasets.airports.quality.not_null[1]: column a is named twice",
        ),
        (with_dataset(quality=QualitySettings(check=("",))), "datasets.airports.quality.check[0]: is empty"),
        (
            with_compartment(business="The Travel"),
            "compartments.high.business: a name is a lower-case letter, then up to 62 lower-case letters, "
            "digits, - or _",
        ),
        (
            with_compartment(workers=WorkerCount(min=0, max=1)),
            "compartments.high.workers.min: must be from 1 to 256, is 0",
        ),
        (
            with_compartment(workers=WorkerCount(min=3, max=2)),
            "compartments.high.workers.max: workers.min (3) must not be above workers.max (2)",
        ),
        (with_compartment(cpus=(1, 1)), "compartments.high.cpus[1]: core 1 is named twice"),
        (
            with_compartment(cpus=(3,)),
            "compartments.high.cpus[0]: this machine has no core 3 for us; it has 0-2, 5",
        ),
        (with_compartment(max_rss_mb=63), "compartments.high.max_rss_mb: must be at least 64, is 63"),
        (
            with_compartment(max_requests=999),
            "compartments.high.max_requests: must be at least 1000, is 999: a start costs as much as thousands",
        ),
        (with_compartment(cores=0.0, cpus=()), "compartments.high.cores: must be more than 0 and at most 1024, is 0"),
        (
            with_compartment(cores=float("nan"), cpus=()),
            "compartments.high.cores: must be more than 0 and at most 1024, is nan",
        ),
        (
            with_compartment(cores=1.0, cpus=(1,)),
            "compartments.high.cores: cpus names the cores already; of cpus and cores only one may be set",
        ),
        (with_compartment(fds=255), "compartments.high.fds: must be from 256 to 1048576, is 255"),
        (with_compartment(connections_max=0), "compartments.high.connections_max: must be at least 1, is 0"),
        (with_compartment(memory_mb=63), "compartments.high.memory_mb: must be at least 64, is 63"),
        (
            with_compartment(watermarks=Watermarks(low=0.75, high=0.75)),
            "compartments.high.watermarks: watermarks.low (0.75) and watermarks.high (0.75) must be "
            "0 <= low < high <= 1",
        ),
        (
            with_compartment(watermarks=Watermarks(low=-0.1, high=0.75)),
            "compartments.high.watermarks: watermarks.low (-0.1) and watermarks.high (0.75) must be "
            "0 <= low < high <= 1",
        ),
        (
            with_service(dataset="airport"),
            "services.airport.dataset: there is no dataset 'airport'; did you mean airports?",
        ),
        (
            with_service(compartment="zz"),
            "services.airport.compartment: there is no compartment 'zz'; add a table [compartments.zz]",
        ),
        (with_service(dataset=None), "services.airport.dataset: missing; expected a string"),
        (
            with_service(sql="SELECT 1"),
            'services.airport.sql: is for services of kind "sql"; a kv service finds rows by their key',
        ),
        (
            with_service(max_rows_scanned=5),
            'services.airport.max_rows_scanned: is for services of kind "sql"; a kv service reads one row a key',
        ),
        (with_service(analytical=True), 'services.airport.analytical: is for services of kind "sql"; remove it'),
        (
            with_service(params={"faa": ParamSettings(type="list<string>")}),
            "services.airport.params.faa.type: a key column is never a list; name the column's own type",
        ),
        (with_sql(sql=None), "services.near.sql: missing; expected a string"),
        (with_sql(sql=" "), "services.near.sql: is empty"),
        (
            with_sql(dataset="airports"),
            "services.near.dataset: a sql service names its datasets in FROM; remove it",
        ),
        (with_sql(fields=("a",)), "services.near.fields: a sql service names its columns in SELECT; remove it"),
        (with_sql(batch_max=5), "services.near.batch_max: a sql service answers no batches; remove it"),
        (with_sql(max_rows_scanned=0), "services.near.max_rows_scanned: must be from 1 to 10000000, is 0"),
        (
            with_sql(max_rows_scanned=10_000_001),
            "services.near.max_rows_scanned: must be from 1 to 10000000, is 10000001",
        ),
        (
            with_sql(analytical=True, max_rows_scanned=5),
            "services.near.max_rows_scanned: an analytical service reads whole datasets; its bound is "
            "executors.timeout_s of the compartment; remove it",
        ),
        (
            with_sql(compartment="hig"),
            "services.near.compartment: there is no compartment 'hig'; did you mean high?",
        ),
        (
            with_sql(params={"cursor": ParamSettings()}),
            "services.near.params.cursor: cursor is Havok's own, beside the parameters of a sql service; "
            "choose another name",
        ),
        (
            with_sql(params={"meta": ParamSettings()}),
            "services.near.params.meta: meta is Havok's own, beside the parameters of a sql service; "
            "choose another name",
        ),
        *(
            (
                with_sql(params={name: ParamSettings()}),
                f"{dotted(('services', 'near', 'params', name))}: a parameter of SQL is a letter or _, then letters, "
                "digits or _: it is written :name",
            )
            for name in ("", "1a", "a-b", "ä", "a b", "a\n")
        ),
        (
            with_sql(params={"n": ParamSettings(type="list<int>", max_items=1001)}),
            "services.near.params.n.max_items: must be from 1 to 1000, is 1001",
        ),
        (with_executors(processes=0), "compartments.high.executors.processes: must be from 1 to 16, is 0"),
        (with_executors(processes=17), "compartments.high.executors.processes: must be from 1 to 16, is 17"),
        (with_executors(memory_mb=63), "compartments.high.executors.memory_mb: must be at least 64, is 63"),
        (with_executors(threads=0), "compartments.high.executors.threads: must be from 1 to 64, is 0"),
        (with_executors(threads=65), "compartments.high.executors.threads: must be from 1 to 64, is 65"),
        (
            with_executors(timeout_s=0.0),
            "compartments.high.executors.timeout_s: must be more than 0 and at most 3600, is 0",
        ),
        (
            with_executors(timeout_s=3601.0),
            "compartments.high.executors.timeout_s: must be more than 0 and at most 3600, is 3601",
        ),
        (with_service(fields=("a", "a")), "services.airport.fields[1]: column a is named twice"),
        (with_service(weight=0.0), "services.airport.weight: must be more than 0, from 0.001 to 1000, is 0"),
        (with_service(weight=-1.0), "services.airport.weight: must be more than 0, from 0.001 to 1000, is -1"),
        (with_service(weight=float("nan")), "services.airport.weight: must be more than 0, from 0.001 to 1000, is nan"),
        (with_service(batch_max=0), "services.airport.batch_max: must be from 1 to 10000, is 0"),
        (with_service(batch_max=10_001), "services.airport.batch_max: must be from 1 to 10000, is 10001"),
        (
            with_service(rate_limit=RateLimitSettings(rps=0.0)),
            "services.airport.rate_limit.rps: must be more than 0, is 0",
        ),
        (
            with_service(rate_limit=RateLimitSettings(rps=1.0, burst=0)),
            "services.airport.rate_limit.burst: must be at least 1, is 0",
        ),
        (
            with_service(params={"fa": ParamSettings()}),
            "services.airport.params.fa: airports has no key column 'fa'; did you mean faa?",
        ),
        (
            with_service(params={"lat": ParamSettings()}),
            "services.airport.params.lat: airports has no key column 'lat'; its key is faa, day",
        ),
        (
            with_service(params={"faa": ParamSettings(min=2, max=1)}),
            "services.airport.params.faa.min: min (2) must not be above max (1)",
        ),
    ],
)
def test_each_relation_names_its_keys(settings: Settings, expected: str) -> None:
    assert faults_of(settings) == [expected]


@pytest.mark.parametrize("name", ["a", "a-b_c9", "a" * 63])
def test_names_that_will_do(name: str) -> None:
    assert list(check_names({"services": [name]})) == []


@pytest.mark.parametrize("name", ["", "A", "9a", "a.b", "a/b", "a b", "a" * 64, "é", "a\n", ".."])
def test_names_that_will_not(name: str) -> None:
    assert [finding.path for finding in check_names({"services": [name]})] == [("services", name)]


def test_addresses() -> None:
    assert address("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert address("[::1]:1") == ("::1", 1)
    assert address("db-1.example.com:65535") == ("db-1.example.com", 65535)


@pytest.mark.parametrize(
    "text", ["", ":", "a", "a:", "a:b", "a:-1", "a:1.5", "a:²", "a:99999", "::1:80", "a b:1", "-a:1", "a\n:1", "a:1\n"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|no host|IPv6"):
        address(text)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        host, port = address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535
