"""Everything that can stand in havok.toml, as frozen structs.

Rule: a struct field is a key of the file and its default is the documented default.
How values must relate is `havok.relations`, reading files is `havok.config`; nothing
here touches a disk. `not_yet` names keys of the contract that this version does not
serve, so that a fault can say so instead of guessing at a typing error.
"""

import re
from typing import ClassVar, Literal

import msgspec

Grade = Literal["core", "secondary"]
Priority = Literal["high", "medium", "low"]
Kind = Literal["kv", "sql"]  # union and ingest are not served by this version
ItemType = Literal["string", "int", "float", "bool", "date", "timestamp"]
ParamType = Literal[
    "string", "int", "float", "bool", "date", "timestamp",
    "list<string>", "list<int>", "list<float>", "list<bool>", "list<date>", "list<timestamp>",
]  # fmt: skip
Scalar = str | int | float | bool  # a date or a timestamp is its text
RESERVED_PARAMS = ("cursor", "meta")  # what a request for a page may say beside its service's parameters

_SELECT = re.compile(
    r"""(?: \s | --[^\n]*\n | /\*.*?\*/ | \( )*  (?: select | with | from )  (?= \s | [*("'] | /\* )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def is_select(source: str) -> bool:
    """Whether a dataset's source is SQL rather than a file, a glob or a directory."""
    return _SELECT.match(source) is not None


class NodeSettings(msgspec.Struct, frozen=True):
    name: str = "local"
    zone: str = "default"
    data_dir: str = "var"  # relative to the file
    listen: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:8081"
    include: tuple[str, ...] = ()
    drain_s: float = 10.0  # how long SIGTERM waits for requests in flight


class LoaderSettings(msgspec.Struct, frozen=True):
    memory_mb: int = 1024  # DuckDB's limit; a larger table spills to data_dir
    threads: int = 0  # 0: one per core


class QualitySettings(msgspec.Struct, frozen=True):
    min_rows: int | None = None
    max_row_change: float | None = None  # 0.5: at most ±50 % rows against the live version
    not_null: tuple[str, ...] = ()
    check: tuple[str, ...] = ()  # SQL conditions every row must meet


class DatasetSettings(msgspec.Struct, frozen=True):
    key: tuple[str, ...]
    source: str | None = None  # file, glob, directory or SELECT
    keep_versions: int = 3
    quality: QualitySettings = QualitySettings()
    indexes: dict[str, tuple[str, ...]] = {}
    columns: dict[str, str] = {}  # column → DuckDB type, where the source's own is not wanted


class WorkerCount(msgspec.Struct, frozen=True):
    min: int = 1
    max: int = 1


class Watermarks(msgspec.Struct, frozen=True):
    low: float = 0.35
    high: float = 0.75


class ExecutorSettings(msgspec.Struct, frozen=True):
    """The processes, beside each worker, that run analytical services."""

    processes: int = 1
    memory_mb: int = 512  # of each; a query that needs more fails: none spills
    threads: int = 1  # of each
    timeout_s: float = 30.0  # a query that runs longer is ended


class CompartmentSettings(msgspec.Struct, frozen=True):
    business: str
    priority: Priority = "medium"
    workers: WorkerCount = WorkerCount()
    listen: str | None = None  # a port of its own, at which its workers accept; None: only the node's
    cpus: tuple[int, ...] = ()  # empty: as `cores` says
    cores: float | None = None  # of its own, chosen by placement; None: any core that no compartment owns
    memory_mb: int | None = None  # private memory of each worker; None: no limit
    max_rss_mb: int | None = None  # a worker that has more is replaced by a new one; None: never
    max_requests: int | None = None  # the same of one that served more
    fds: int | None = None  # open files of each worker; None: as many as the system allows
    connections_max: int | None = None  # of all workers together; the gate refuses more; None: no limit
    watermarks: Watermarks = Watermarks()
    executors: ExecutorSettings = ExecutorSettings()


class ParamSettings(msgspec.Struct, frozen=True):
    """A rule set for one parameter, of a list for each item.

    The type of a kv parameter is its key column's; that of a sql parameter which declares
    none is what the SQL compares it with.
    """

    type: ParamType | None = None
    default: Scalar | tuple[Scalar, ...] | None = None  # an array for a list
    min: int | float | str | None = None
    max: int | float | str | None = None
    pattern: str | None = None
    enum: tuple[str | int | float, ...] = ()
    max_items: int = 1000  # of a list


class RateLimitSettings(msgspec.Struct, frozen=True):
    """Requests a second over the whole compartment; each worker admits its equal share."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"per_app", "by"})

    rps: float
    burst: int = 1


class ServiceSettings(msgspec.Struct, frozen=True):
    not_yet: ClassVar[frozenset[str]] = frozenset({"access", "deadline_ms", "slo", "ladder", "fallback", "store"})

    kind: Kind
    compartment: str
    dataset: str | None = None  # kv, which needs it; a sql service names its datasets in FROM
    sql: str | None = None  # sql, which needs it
    grade: Grade = "core"
    fields: tuple[str, ...] = ()  # kv; empty: the whole row
    params: dict[str, ParamSettings] = {}
    rate_limit: RateLimitSettings | None = None
    weight: float = 1.0  # of its share of the workers' time, next to its compartment's other services
    batch_max: int = 1000  # kv: keys in one batch request
    max_rows_scanned: int = 100_000  # sql: rows read for one request
    analytical: bool = False  # sql: runs in an executor, over whole datasets


class Settings(msgspec.Struct, frozen=True):
    node: NodeSettings = NodeSettings()
    loader: LoaderSettings = LoaderSettings()
    datasets: dict[str, DatasetSettings] = {}
    compartments: dict[str, CompartmentSettings] = {}
    services: dict[str, ServiceSettings] = {}
