"""`python -m bench.churn`: processes come and go under load; who notices?

Rule: an open-loop client asks at 70 % of what one worker can answer, latency from when each
request was due, on connections that stay. Stretch after stretch something else happens to the
node: nothing (*quiet*), rolling restarts, workers added and taken away, upgrades to other code,
the supervisor killed, the gate killed. The worker has a core of its own, the client the other,
where it goes before all others; everything else runs wherever it finds room. Cores are left to halt: what
keeps them awake (`bench.awake`) would take what successors start on, which is what others leave.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench import bars
from bench.apart import observe
from bench.arrivals import percentile_us
from bench.bars import Verdict, judge
from bench.cpu import assign_cores, cpu_seconds
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.node import COMPARTMENT, Contents, Dataset, Node, Service, Status, node_missing
from bench.process import REPOSITORY, StartFailed, get
from bench.report import Skipped, conclude, wide_console
from bench.workload import Request

DATASET, SERVICE = "numbers", "window"
GROUPS, GROUP_ROWS = 200, 300
SOURCE = f"SELECT range // {GROUP_ROWS} AS g, range AS id, hash(range) % 1000 AS v FROM range({GROUPS * GROUP_ROWS})"
SQL = f"SELECT id, v FROM {DATASET} WHERE g = :g ORDER BY v DESC, id LIMIT 20"  # some 0.1 ms of a core
CONTENTS = Contents(
    datasets={DATASET: Dataset(source=SOURCE, key=("g", "id"))},
    services={SERVICE: Service(sql=SQL)},
)
PACKAGES = ("havok", "engine", "loader", "compartments", "console")
LOAD = 0.7  # of what a worker can answer
KNOWN_S_MAX = 30.0
POLL_S = 0.005
PROBE_RATE = 500.0  # at which the cost of a request is measured


class Options(msgspec.Struct, frozen=True):
    quiet_s: float = 15.0
    restarts: int = 5
    scalings: int = 5  # out and in
    upgrades: int = 5
    kills: int = 50  # of the supervisor, and of the gate


class Stretch(msgspec.Struct, frozen=True):
    """`longest_s`: of what happened, until it was over."""

    name: str
    answers: int
    failed: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    lag_p999_us: float
    longest_s: float
    reasons: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    rate: float
    stretches: tuple[Stretch, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]


class Churn:
    """A running node and what may happen to it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def nothing(self, seconds: float, _number: int) -> None:
        time.sleep(seconds)

    def restart(self, _number: int) -> None:
        self._node.command("restart", "--rolling")

    def scale(self, number: int) -> None:
        """Out and in."""
        self._node.command("scale", COMPARTMENT, "--workers", "2" if number % 2 == 0 else "1")

    def upgrade(self, number: int) -> None:
        changed = self._node.directory / "installed" / "havok" / "messages.py"
        changed.write_text(changed.read_text() + f"\n# code {number}\n")
        self._node.command("upgrade")

    def kill_supervisor(self, _number: int) -> None:
        """Until another one has adopted what it left."""
        before = self._known().serving_pids
        self._node.kill_supervisor()
        self._node.start()
        while (found := self._known().serving_pids) != before:
            if len(found) > len(before):
                raise StartFailed(f"the next supervisor has {found}, the one before had {before}")

    def kill_gate(self, _number: int) -> None:
        """Until a new connection is served."""
        while len(gates := self._known().gate.pids) != 1:
            time.sleep(POLL_S)
        os.kill(gates[0], signal.SIGKILL)
        while get(self._node.port, _target(0)) is None:
            time.sleep(POLL_S)

    def _known(self) -> Status:
        """Raises StartFailed when nobody is there to say."""
        deadline = time.monotonic() + KNOWN_S_MAX
        while (found := self._node.seen_from_outside()) is None:
            if time.monotonic() > deadline:
                raise StartFailed(f"no status within {KNOWN_S_MAX:.0f} s")
            time.sleep(POLL_S)
        return found


def _target(group: int) -> str:
    return f"/v1/{SERVICE}?g={group}"


def _stretch(node: Node, core: int, rate: float, name: str, do: Callable[[int], None], times: int) -> Stretch:
    """Raises StartFailed when what was to happen did not."""
    took_s: list[float] = []

    def happen() -> None:
        for number in range(times):
            begun = time.monotonic()
            do(number)
            took_s.append(time.monotonic() - begun)

    try:
        seen = observe(node.port, _requests(node), rate, core, happen)
    except StartFailed as failure:
        raise StartFailed(f"{name}: {failure}") from None
    return Stretch(
        name,
        len(seen.latencies_ns),
        seen.failed,
        percentile_us(seen.latencies_ns, 0.5),
        percentile_us(seen.latencies_ns, 0.99),
        percentile_us(seen.latencies_ns, 0.999),
        percentile_us(seen.latencies_ns, 1),
        percentile_us(seen.lags_ns, 0.999),
        max(took_s, default=0.0),
        tuple(seen.reasons),
    )


def _requests(node: Node) -> list[bytes]:
    return [Request(_target(group)).raw(node.port) for group in range(GROUPS)]


def rate_of(node: Node, core: int, seconds: float) -> float:
    """70 % of what the worker can answer, by its CPU per request."""
    pids = node.status().worker_pids
    used_s = 0.0

    def wait() -> None:
        nonlocal used_s
        before = cpu_seconds(pids)
        time.sleep(seconds)
        used_s = cpu_seconds(pids) - before

    seen = observe(node.port, _requests(node), PROBE_RATE, core, wait)
    if not seen.latencies_ns or seen.failed:
        raise StartFailed(f"{SERVICE} does not answer: {seen.reasons}")
    return LOAD * len(seen.latencies_ns) / used_s


def stretches(node: Node, options: Options, core: int, console: Console) -> tuple[float, tuple[Stretch, ...]]:
    """(rate, the stretches)."""
    rate = rate_of(node, core, min(3.0, options.quiet_s))
    churn = Churn(node)
    found = []
    for name, do, times in (
        ("quiet", partial(churn.nothing, options.quiet_s), 1),
        ("rolling restarts", churn.restart, options.restarts),
        ("scaled out and in", churn.scale, 2 * options.scalings),
        ("upgrades", churn.upgrade, options.upgrades),
        ("supervisor killed", churn.kill_supervisor, options.kills),
        ("gate killed", churn.kill_gate, options.kills),
        ("quiet again", partial(churn.nothing, options.quiet_s), 1),
    ):
        if times:
            with console.status(name):
                found.append(_stretch(node, core, rate, name, do, times))
    return rate, tuple(found)


def verdicts(found: Sequence[Stretch]) -> tuple[Verdict, ...]:
    by_name = {each.name: each for each in found}
    quiet = min((by_name[name].p999_us for name in ("quiet", "quiet again") if name in by_name), default=None)
    renewed = [by_name[name] for name in ("rolling restarts", "scaled out and in", "upgrades") if name in by_name]
    supervisor, gate = by_name.get("supervisor killed"), by_name.get("gate killed")
    step = (max(each.p999_us for each in renewed) - quiet) / 1e3 if renewed and quiet is not None else None
    return (
        judge(bars.CHURN_FAILED, sum(each.failed for each in renewed) if renewed else None),
        judge(bars.CHURN_STEP, step),
        judge(bars.SUPERVISOR_FAILED, supervisor.failed if supervisor else None),
        judge(bars.SUPERVISOR_ADOPTED, supervisor.longest_s if supervisor else None),
        judge(bars.GATE_FAILED, gate.failed if gate else None),
        judge(bars.GATE_BACK, gate.longest_s if gate else None),
    )


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    rate = 0.0
    found: tuple[Stretch, ...] = ()
    skipped = []
    if reason := node_missing():
        skipped.append(Skipped("churn", reason, failed=True))
    else:
        with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
            for package in PACKAGES:
                copied = Path(directory) / "installed" / package
                shutil.copytree(REPOSITORY / package, copied, ignore=shutil.ignore_patterns("__pycache__"))
            node = Node(Path(directory), cores.server, CONTENTS, workers_max=2, loose=True)
            try:
                node.start(_target(0))
                rate, found = stretches(node, options, cores.client, console)
            except StartFailed as failure:
                skipped.append(Skipped("churn", str(failure), failed=True))
            finally:
                node.stop()
    return Report(machine, options, rate, found, verdicts(found), tuple(skipped))


def print_stretches(console: Console, rate: float, found: Sequence[Stretch]) -> None:
    table = Table(title=f"{rate:,.0f} requests/s due", title_justify="left")
    table.add_column("stretch", no_wrap=True)
    for heading in ("answers", "failed", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "late p99.9", "longest s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        times = (each.p50_us, each.p99_us, each.p999_us, each.max_us, each.lag_p999_us)
        numbers = [f"{value:,.0f}" for value in (each.answers, each.failed, *times)]
        table.add_row(each.name, *numbers, f"{each.longest_s:.2f}")
    console.print(table)
    console.print("percentiles from when requests were due; late: the client's own lag", highlight=False)
    for reason in dict.fromkeys(reason for each in found for reason in each.reasons):
        console.print(f"failed: {reason}", highlight=False, markup=False)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.churn", description=(__doc__ or "").partition("\n\n")[0])
    given = Options()
    parser.add_argument("--restarts", type=int, default=given.restarts, help="0, here and below: none of them")
    parser.add_argument("--scalings", type=int, default=given.scalings, help="out and in")
    parser.add_argument("--upgrades", type=int, default=given.upgrades)
    parser.add_argument("--kills", type=int, default=given.kills, help="of the supervisor, and of the gate")
    parser.add_argument("--small", action="store_true", help="each thing once or twice: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(given.quiet_s, chosen.restarts, chosen.scalings, chosen.upgrades, chosen.kills)
    if chosen.small:
        options = Options(quiet_s=1.0, restarts=1, scalings=1, upgrades=1, kills=1)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_stretches(console, report.rate, report.stretches)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
