"""How settings must relate to each other and to the machine.

Rule: pure. `check` takes settings whose values have the right types and returns what
is wrong with their relations; a finding names every key it compares, so that it is
dropped when one of them was a fault already. It reads no file and asks no machine:
the cores that exist are an argument.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from havok.addresses import check_ports
from havok.param_rules import check_rules
from havok.settings import (
    RESERVED_PARAMS,
    CompartmentSettings,
    DatasetSettings,
    ExecutorSettings,
    LoaderSettings,
    NodeSettings,
    ServiceSettings,
    Settings,
)
from havok.typed import Finding, Path, nearest, shown

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_RULE = "a name is a lower-case letter, then up to 62 lower-case letters, digits, - or _"

WORKERS_MAX = 256  # of one compartment: past any machine's cores, far below its file descriptors
MEMORY_MB_MIN = 64  # a worker takes about 20 MB of it before its first plan
EXECUTORS_MAX = 16  # beside each worker: a query may use several cores, and there are seldom more than 64
EXECUTOR_THREADS_MAX = 64
EXECUTOR_TIMEOUT_S_MAX = 3600.0  # what takes longer is a load, not an answer
ROWS_SCANNED_MAX = 10_000_000  # some ten seconds of a worker's loop; what reads more is analytical
CORES_MAX = 1024.0
FDS_MIN = 256  # a worker holds some 40 beside its connections, and keeps 64 spare
FDS_MAX = 1_048_576  # as many as Linux gives a process unless it is told to give more
BATCH_KEYS_MAX = 10_000  # keeps one batch below some 10 ms of a worker's loop
REQUESTS_MAX_MIN = 1000  # of a worker's life
WEIGHT_MAX = 1000.0  # a service of weight 1 beside it has a thousandth, and the floor of `engine.shares`
LOADER_MEMORY_MB_MIN = 192  # measured: with less, DuckDB fails to sort wide rows instead of spilling
THREADS_MAX = 1024

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what stands behind : in SQL

_DEFAULTS = ServiceSettings(kind="kv", compartment="")


def check(settings: Settings, cpus: Collection[int], declared: Mapping[str, Collection[str]]) -> list[Finding]:
    """`declared`: the names that stand under datasets, compartments and services, sound or not."""
    return list(
        itertools.chain(
            _node(settings.node),
            check_ports(settings),
            _loader(settings.loader),
            *(_dataset(name, dataset) for name, dataset in settings.datasets.items()),
            *(_compartment(name, compartment, cpus) for name, compartment in settings.compartments.items()),
            *(_service(name, service, settings, declared) for name, service in settings.services.items()),
        )
    )


def check_names(declared: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Names that would not do in a URL, a directory or a metric."""
    for section, names in declared.items():
        for name in names:
            if NAME.fullmatch(name) is None:
                yield Finding((section, name), NAME_RULE)


def _node(node: NodeSettings) -> Iterator[Finding]:
    for key, value in (("name", node.name), ("zone", node.zone)):
        if NODE_NAME.fullmatch(value) is None:
            yield Finding(("node", key), f"expected letters, digits, dots, - or _ (63 at most), got {shown(value)}")
    yield from _text(("node", "data_dir"), node.data_dir)
    if node.drain_s <= 0:
        yield Finding(("node", "drain_s"), f"must be more than 0, is {node.drain_s:g}")


def _loader(loader: LoaderSettings) -> Iterator[Finding]:
    if loader.memory_mb < LOADER_MEMORY_MB_MIN:
        reason = f"must be at least {LOADER_MEMORY_MB_MIN}, is {loader.memory_mb}: a sort needs as much to spill"
        yield Finding(("loader", "memory_mb"), reason)
    yield from _between(("loader", "threads"), loader.threads, 0, THREADS_MAX)


def _dataset(name: str, dataset: DatasetSettings) -> Iterator[Finding]:
    path: Path = ("datasets", name)
    if not dataset.key:
        yield Finding((*path, "key"), "a dataset needs at least one key column")
    yield from _columns((*path, "key"), dataset.key)
    if dataset.source is not None:
        yield from _text((*path, "source"), dataset.source)
    if dataset.keep_versions < 1:
        yield Finding((*path, "keep_versions"), f"must be at least 1, is {dataset.keep_versions}")
    for index, columns in dataset.indexes.items():
        here: Path = (*path, "indexes", index)
        if NAME.fullmatch(index) is None:
            yield Finding(here, NAME_RULE)
        if not columns:
            yield Finding(here, "an index needs at least one column")
        yield from _columns(here, columns)
    for column, kind in dataset.columns.items():
        yield from _text((*path, "columns", column), kind)
    quality = dataset.quality
    here = (*path, "quality")
    if quality.min_rows is not None and quality.min_rows < 0:
        yield Finding((*here, "min_rows"), f"must be at least 0, is {quality.min_rows}")
    if quality.max_row_change is not None and quality.max_row_change <= 0:
        yield Finding((*here, "max_row_change"), f"must be more than 0, is {quality.max_row_change:g}")
    yield from _columns((*here, "not_null"), quality.not_null)
    for position, condition in enumerate(quality.check):
        yield from _text((*here, "check", position), condition)


def _compartment(name: str, compartment: CompartmentSettings, cpus: Collection[int]) -> Iterator[Finding]:
    path: Path = ("compartments", name)
    if NAME.fullmatch(compartment.business) is None:
        yield Finding((*path, "business"), NAME_RULE)
    low_key, high_key = (*path, "workers", "min"), (*path, "workers", "max")
    workers = compartment.workers
    yield from _between(low_key, workers.min, 1, WORKERS_MAX)
    yield from _between(high_key, workers.max, 1, WORKERS_MAX)
    if workers.min > workers.max:
        yield Finding(
            high_key,
            f"workers.min ({workers.min}) must not be above workers.max ({workers.max})",
            ((*path, "workers"), low_key, high_key),
        )
    yield from _cpus((*path, "cpus"), compartment.cpus, cpus)
    if compartment.memory_mb is not None:
        yield from _memory((*path, "memory_mb"), compartment.memory_mb)
    if compartment.max_rss_mb is not None:
        yield from _memory((*path, "max_rss_mb"), compartment.max_rss_mb)
    if compartment.max_requests is not None and compartment.max_requests < REQUESTS_MAX_MIN:
        least = f"must be at least {REQUESTS_MAX_MIN}, is {compartment.max_requests}"
        yield Finding((*path, "max_requests"), f"{least}: a start costs as much as thousands")
    yield from _limits(path, compartment)
    yield from _executors((*path, "executors"), compartment.executors)
    marks = compartment.watermarks
    if not 0 <= marks.low < marks.high <= 1:
        here: Path = (*path, "watermarks")
        yield Finding(
            here,
            f"watermarks.low ({marks.low:g}) and watermarks.high ({marks.high:g}) must be 0 <= low < high <= 1",
            (here, (*here, "low"), (*here, "high")),
        )


def _limits(path: Path, compartment: CompartmentSettings) -> Iterator[Finding]:
    cores_key: Path = (*path, "cores")
    if compartment.cores is not None and not 0 < compartment.cores <= CORES_MAX:
        yield Finding(cores_key, f"must be more than 0 and at most {CORES_MAX:g}, is {compartment.cores:g}")
    if compartment.cores is not None and compartment.cpus:
        reason = "cpus names the cores already; of cpus and cores only one may be set"
        yield Finding(cores_key, reason, (cores_key, (*path, "cpus")))
    if compartment.fds is not None:
        yield from _between((*path, "fds"), compartment.fds, FDS_MIN, FDS_MAX)
    if compartment.connections_max is not None and compartment.connections_max < 1:
        yield Finding((*path, "connections_max"), f"must be at least 1, is {compartment.connections_max}")


def _executors(path: Path, executors: ExecutorSettings) -> Iterator[Finding]:
    yield from _between((*path, "processes"), executors.processes, 1, EXECUTORS_MAX)
    yield from _memory((*path, "memory_mb"), executors.memory_mb)
    yield from _between((*path, "threads"), executors.threads, 1, EXECUTOR_THREADS_MAX)
    if not 0 < executors.timeout_s <= EXECUTOR_TIMEOUT_S_MAX:
        reason = f"must be more than 0 and at most {EXECUTOR_TIMEOUT_S_MAX:g}, is {executors.timeout_s:g}"
        yield Finding((*path, "timeout_s"), reason)


def _cpus(path: Path, wanted: Sequence[int], cpus: Collection[int]) -> Iterator[Finding]:
    seen: set[int] = set()
    for position, cpu in enumerate(wanted):
        if cpu in seen:
            yield Finding((*path, position), f"core {cpu} is named twice")
        elif cpu not in cpus:
            yield Finding((*path, position), f"this machine has no core {cpu} for us; it has {_ranges(cpus)}")
        seen.add(cpu)


def _service(
    name: str, service: ServiceSettings, settings: Settings, declared: Mapping[str, Collection[str]]
) -> Iterator[Finding]:
    path: Path = ("services", name)
    yield from _known((*path, "compartment"), service.compartment, declared)
    if service.kind == "kv":
        yield from _kv(path, service, settings, declared)
    else:
        yield from _sql(path, service)
    if not 1 / WEIGHT_MAX <= service.weight <= WEIGHT_MAX:
        reason = f"must be more than 0, from {1 / WEIGHT_MAX:g} to {WEIGHT_MAX:g}, is {service.weight:g}"
        yield Finding((*path, "weight"), reason)
    if service.rate_limit is not None:
        here: Path = (*path, "rate_limit")
        if service.rate_limit.rps <= 0:
            yield Finding((*here, "rps"), f"must be more than 0, is {service.rate_limit.rps:g}")
        if service.rate_limit.burst < 1:
            yield Finding((*here, "burst"), f"must be at least 1, is {service.rate_limit.burst}")
    for param, rules in service.params.items():
        yield from check_rules((*path, "params", param), rules, service.kind)


def _known(path: Path, wanted: str, declared: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Whether a service's dataset or compartment stands in the files."""
    key = str(path[-1])
    known = declared.get(f"{key}s", ())
    if wanted not in known:
        meant = nearest(wanted, known)
        advice = f"did you mean {meant}?" if meant else f"add a table [{key}s.{wanted}]"
        yield Finding(path, f"there is no {key} {wanted!r}; {advice}")


def _kv(
    path: Path, service: ServiceSettings, settings: Settings, declared: Mapping[str, Collection[str]]
) -> Iterator[Finding]:
    if service.dataset is None:
        yield from _of_kind(path, "dataset", "missing; expected a string")
    else:
        yield from _known((*path, "dataset"), service.dataset, declared)
    if service.sql is not None:
        yield from _of_kind(path, "sql", 'is for services of kind "sql"; a kv service finds rows by their key')
    if service.max_rows_scanned != _DEFAULTS.max_rows_scanned:
        yield from _of_kind(path, "max_rows_scanned", 'is for services of kind "sql"; a kv service reads one row a key')
    if service.analytical:
        yield from _of_kind(path, "analytical", 'is for services of kind "sql"; remove it')
    yield from _columns((*path, "fields"), service.fields)
    yield from _between((*path, "batch_max"), service.batch_max, 1, BATCH_KEYS_MAX)
    dataset = settings.datasets.get(service.dataset or "")
    for param in service.params:
        if dataset is not None and service.dataset is not None and param not in dataset.key:
            meant = nearest(param, dataset.key)
            advice = f"did you mean {meant}?" if meant else f"its key is {', '.join(dataset.key)}"
            here: Path = (*path, "params", param)
            about: tuple[Path, ...] = ((*path, "dataset"), ("datasets", service.dataset, "key"))
            yield Finding(here, f"{service.dataset} has no key column {param!r}; {advice}", about)


def _sql(path: Path, service: ServiceSettings) -> Iterator[Finding]:
    if service.sql is None:
        yield from _of_kind(path, "sql", "missing; expected a string")
    else:
        yield from _text((*path, "sql"), service.sql)
    if service.dataset is not None:
        yield from _of_kind(path, "dataset", "a sql service names its datasets in FROM; remove it")
    if service.fields:
        yield from _of_kind(path, "fields", "a sql service names its columns in SELECT; remove it")
    if service.batch_max != _DEFAULTS.batch_max:
        yield from _of_kind(path, "batch_max", "a sql service answers no batches; remove it")
    if service.analytical and service.max_rows_scanned != _DEFAULTS.max_rows_scanned:
        reason = "an analytical service reads whole datasets; its bound is executors.timeout_s of the compartment"
        yield from _of_kind(path, "max_rows_scanned", f"{reason}; remove it")
    else:
        yield from _between((*path, "max_rows_scanned"), service.max_rows_scanned, 1, ROWS_SCANNED_MAX)
    for param in service.params:
        here: Path = (*path, "params", param)
        if param in RESERVED_PARAMS:
            yield Finding(here, f"{param} is Havok's own, beside the parameters of a sql service; choose another name")
        elif IDENTIFIER.fullmatch(param) is None:
            yield Finding(here, "a parameter of SQL is a letter or _, then letters, digits or _: it is written :name")


def _of_kind(path: Path, key: str, reason: str) -> Iterator[Finding]:
    """What a service's kind asks of one of its keys."""
    yield Finding((*path, key), reason, ((*path, key), (*path, "kind")))


def _columns(path: Path, columns: Sequence[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for position, column in enumerate(columns):
        if not column.strip():
            yield Finding((*path, position), "a column name is empty")
        elif column in seen:
            yield Finding((*path, position), f"column {column} is named twice")
        seen.add(column)


def _text(path: Path, value: str) -> Iterator[Finding]:
    if not value.strip():
        yield Finding(path, "is empty")
    elif "\0" in value:
        yield Finding(path, "holds a NUL character")


def _between(path: Path, value: int, low: int, high: int) -> Iterator[Finding]:
    if not low <= value <= high:
        yield Finding(path, f"must be from {low} to {high}, is {value}")


def _memory(path: Path, value: int) -> Iterator[Finding]:
    if value < MEMORY_MB_MIN:
        yield Finding(path, f"must be at least {MEMORY_MB_MIN}, is {value}")


def _ranges(cpus: Collection[int]) -> str:
    """{0, 1, 2, 5} → "0-2, 5"."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"
