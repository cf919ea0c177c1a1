"""`python -m bench.swap`: new versions arrive under load; who notices?

Rule: every version of the dataset carries its own number in every column of every row, so
an answer that mixes two versions, or whose `Havok-Version` names another one than its body
came from, shows. Three stretches at one arrival rate: *quiet*; *built*, where the same loads
run but activate nothing (`--dry-run`); *swapped*, where they go live. The builder runs on the
client's core, only when nothing else wants it (a small run, on a machine that others may keep
busy, waits for nobody): what it costs there is in `built`, and the difference to `swapped` is
the swap's own.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import bars
from bench.arrivals import Arrivals, Observation, percentile_us
from bench.awake import awake
from bench.bars import Verdict, judge
from bench.cpu import assign_cores, pinned
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.node import Contents, Dataset, Node, Service, node_missing
from bench.process import StartFailed, get
from bench.report import Skipped, conclude, wide_console
from bench.workload import Request

DATASET, SERVICE = "numbers", "number"
COLUMNS = 12  # of the version's number, beside the key
CONTENTS = Contents(
    datasets={DATASET: Dataset(source="", key=("id",), keep_versions=3)},
    services={SERVICE: Service(DATASET)},
)


class Options(msgspec.Struct, frozen=True):
    swaps: int = 100
    built: int = 20  # loads of the control stretch
    quiet_s: float = 20.0
    rate: float = 5000.0
    rows: int = 100_000
    last: bool = True  # loads only get what the client leaves of its core


class Stretch(msgspec.Struct, frozen=True):
    name: str
    answers: int
    failed: int
    mixed: int
    p50_us: float  # these four from when a request was due
    p99_us: float
    p999_us: float
    max_us: float
    sent_p999_us: float  # from when it was sent
    lag_p999_us: float  # how late the client itself was to send
    versions: int  # distinct ones seen
    reasons: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    stretches: tuple[Stretch, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]


class _Loaded(msgspec.Struct, frozen=True):
    """The part of `havok load --json`'s last line that is needed."""

    version: str


class Builder(threading.Thread):
    """Loads one version after another until it has loaded enough; `done` tells when."""

    def __init__(self, node: Node, core: int, numbers: Sequence[int], options: Options, *extra: str) -> None:
        super().__init__(name="builder", daemon=True)
        self._node = node
        self._core = core
        self._numbers = numbers
        self._options = options
        self._extra = extra
        self._stopping = threading.Event()
        self.versions: dict[str, int] = {}  # version → its number
        self.failure: str | None = None

    def run(self) -> None:
        options = self._options
        with pinned(self._core):
            for number in self._numbers:
                if self._stopping.is_set():
                    return
                try:
                    select = source(number, options.rows)
                    printed = self._node.command("load", DATASET, select, *self._extra, last=options.last)
                except StartFailed as failure:
                    self.failure = str(failure)
                    return
                if "--dry-run" not in self._extra:
                    version = msgspec.json.decode(printed.strip().rpartition("\n")[2], type=_Loaded).version
                    self.versions[version] = number

    def stop(self) -> None:
        """Ends after the load it is at."""
        self._stopping.set()
        self.join()


def source(number: int, rows: int) -> str:
    """A SELECT whose every row holds the number in every column but the key."""
    columns = ", ".join(f"{number} AS c{index}" for index in range(COLUMNS))
    return f"SELECT range AS id, {columns} FROM range({rows})"


def requests(port: int, rows: int) -> list[bytes]:
    """Lookups of a spread of keys."""
    step = max(1, rows // 997)  # a prime number of keys, spread over the file
    return [Request(f"/v1/{SERVICE}?id={id_}").raw(port) for id_ in range(0, rows, step)]


def mixed_answers(seen: Observation, numbers: dict[str, int]) -> int:
    """Answers whose columns differ among themselves or from what their version holds."""
    mixed = 0
    for answer, count in seen.answers.items():
        row = msgspec.json.decode(answer.body, type=dict[str, dict[str, int]])["data"]
        del row["id"]
        version = answer.version.decode().rpartition("@")[2]
        if set(row.values()) != {numbers.get(version)} or len(row) != COLUMNS:
            mixed += count
    return mixed


def _stretch(name: str, seen: Observation, numbers: dict[str, int]) -> Stretch:
    return Stretch(
        name=name,
        answers=len(seen.latencies_ns),
        failed=seen.failed,
        mixed=mixed_answers(seen, numbers),
        p50_us=percentile_us(seen.latencies_ns, 0.5),
        p99_us=percentile_us(seen.latencies_ns, 0.99),
        p999_us=percentile_us(seen.latencies_ns, 0.999),
        max_us=percentile_us(seen.latencies_ns, 1),
        sent_p999_us=percentile_us(seen.from_sent_ns, 0.999),
        lag_p999_us=percentile_us(seen.lags_ns, 0.999),
        versions=len({answer.version for answer in seen.answers}),
        reasons=tuple(seen.reasons),
    )


def _observe(node: Node, options: Options, core: int, running: Callable[[int], bool]) -> Observation:
    with pinned(core):
        arrivals = Arrivals(node.port, requests(node.port, options.rows), options.rate)
        try:
            return arrivals.run(running)
        finally:
            arrivals.close()


def _observe_building(node: Node, options: Options, core: int, builder: Builder) -> Observation:
    """While the builder works, and as long as it does. Raises StartFailed when a load was refused."""
    builder.start()
    try:
        seen = _observe(node, options, core, lambda now_ns: builder.is_alive())
    finally:
        builder.stop()
    if builder.failure:
        raise StartFailed(builder.failure)
    return seen


def stretches(node: Node, options: Options, core: int, console: Console) -> tuple[Stretch, ...]:
    """The three stretches on a running node whose live version is number 0."""
    first = get(node.port, f"/v1/{SERVICE}?id=0")
    numbers = {first[1].get("havok-version", "").rpartition("@")[2]: 0} if first else {}
    _observe(node, options, core, _for(min(1.0, options.quiet_s)))  # warm, not kept
    with console.status("quiet"):
        quiet = _observe(node, options, core, _for(options.quiet_s))
    with console.status(f"{options.built} loads that change nothing"):
        rehearsal = Builder(node, core, range(1, options.built + 1), options, "--dry-run")
        built = _observe_building(node, options, core, rehearsal)
    with console.status(f"{options.swaps} swaps"):
        builder = Builder(node, core, range(1, options.swaps + 1), options)
        swapped = _observe_building(node, options, core, builder)
    numbers |= builder.versions
    return (
        _stretch("quiet", quiet, numbers),
        _stretch("built, nothing activated", built, numbers),
        _stretch("swapped", swapped, numbers),
    )


def _for(seconds: float) -> Callable[[int], bool]:
    """→ a condition that holds for so long from its first call."""
    end_ns = 0

    def running(now_ns: int) -> bool:
        nonlocal end_ns
        end_ns = end_ns or now_ns + round(seconds * 1e9)
        return now_ns < end_ns

    return running


def verdicts(found: Sequence[Stretch]) -> tuple[Verdict, ...]:
    if not found:
        return judge(bars.SWAP_FAILED, None), judge(bars.SWAP_MIXED, None), judge(bars.SWAP_STEP, None)
    _, built, swapped = found
    return (
        judge(bars.SWAP_FAILED, swapped.failed),
        judge(bars.SWAP_MIXED, swapped.mixed),
        judge(bars.SWAP_STEP, (swapped.p999_us - built.p999_us) / 1e3),
    )


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    found: tuple[Stretch, ...] = ()
    skipped = []
    if reason := node_missing():
        skipped.append(Skipped("swap", reason, failed=True))
    else:
        with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
            contents = msgspec.structs.replace(
                CONTENTS, datasets={DATASET: Dataset(source=source(0, options.rows), key=("id",))}
            )
            node = Node(Path(directory), cores.server, contents)
            try:
                node.start(f"/v1/{SERVICE}?id=0")
                with awake((cores.server, cores.client)):
                    found = stretches(node, options, cores.client, console)
            except StartFailed as failure:
                skipped.append(Skipped("swap", str(failure), failed=True))
            finally:
                node.stop()
    return Report(machine, options, found, verdicts(found), tuple(skipped))


def print_stretches(console: Console, options: Options, found: Sequence[Stretch]) -> None:
    table = Table(title=f"{options.rate:,.0f} requests/s due, {options.rows:,} rows", title_justify="left")
    table.add_column("stretch", no_wrap=True)
    for heading in (
        "answers",
        "versions",
        "failed",
        "mixed",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "max µs",
        "sent p99.9",
        "late p99.9",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        counts = (each.answers, each.versions, each.failed, each.mixed)
        times = (each.p50_us, each.p99_us, each.p999_us, each.max_us, each.sent_p999_us, each.lag_p999_us)
        table.add_row(each.name, *(f"{value:,.0f}" for value in (*counts, *times)))
    console.print(table)
    if found:
        step_us = found[2].p999_us - found[0].p999_us
        console.print(
            f"p99.9 step of loads and swaps together, over quiet: {step_us / 1e3:.2f} ms; "
            "percentiles from when requests were due; sent: from when they were sent; late: the client's own lag",
            highlight=False,
        )
    for reason in dict.fromkeys(reason for each in found for reason in each.reasons):
        console.print(f"failed: {reason}", highlight=False, markup=False)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.swap", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--swaps", type=int, default=Options().swaps)
    parser.add_argument("--rate", type=float, default=Options().rate, help="requests due a second")
    parser.add_argument("--rows", type=int, default=Options().rows)
    parser.add_argument("--small", action="store_true", help="three swaps of 1,000 rows: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(swaps=chosen.swaps, rate=chosen.rate, rows=chosen.rows)
    if chosen.small:
        options = Options(swaps=3, built=1, quiet_s=0.5, rate=500, rows=1000, last=False)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_stretches(console, options, report.stretches)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
