"""`python -m bench.load`: a table becomes a live version; what is that over DuckDB alone?

Rule: both sides start from the same Parquet file, in no order, with the same memory limit
and threads. Havok's side is the whole publish cycle, checks, hashes and syncs included;
DuckDB's is its own sort and `to_json`, every row fetched. Rounds alternate, the figure is
the median of their ratios. With `--packed` the key has two columns and there is an index, so
that columns are packed in both orders; that has no bar.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import duckdb
import msgspec
from rich.console import Console
from rich.table import Table

from bench import bars
from bench.bars import Verdict, judge
from bench.cpu import assign_cores
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.report import print_remarks, print_small, print_verdicts, wide_console, write_json
from bench.snapshots import load
from havok.settings import LoaderSettings

DATASET, KEY = "orders", ("order_id",)
PACKED_KEY = ("customer", "order_id")
PACKED_INDEXES: dict[str, tuple[str, ...]] = {"by_day": ("day",)}
_TABLE = """
    SELECT range AS order_id,
           'customer-' || (hash(range) % 50000)::VARCHAR AS customer,
           (hash(range, 1) % 100000)::BIGINT AS amount_cents,
           ((hash(range, 2) % 1000) / 1000)::DOUBLE AS discount,
           hash(range, 3) % 2 = 0 AS paid,
           DATE '2013-01-01' + (hash(range, 4) % 365)::INTEGER AS day
    FROM range({rows}) ORDER BY hash(range, 5)
"""


class Options(msgspec.Struct, frozen=True):
    rounds: int = 5
    rows: int = 1_000_000
    packed: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        return PACKED_KEY if self.packed else KEY


class Round(msgspec.Struct, frozen=True):
    """`steps`: seconds of each numbered step of the cycle, by its name."""

    havok_s: float
    duckdb_s: float
    steps: dict[str, float]


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    row_bytes: float
    rounds: tuple[Round, ...]
    ratio: float
    bars: tuple[Verdict, ...]


class Stopwatch:
    """A load's progress, timed."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._since = time.monotonic()
        self.steps: dict[str, float] = {}

    def step(self, number: int, name: str) -> None:
        now = time.monotonic()
        if self._name is not None:
            self.steps[self._name] = self.steps.get(self._name, 0.0) + now - self._since
        self._name, self._since = f"{number} {name}", now

    def rows(self, done: int, total: int) -> None:
        return None


def write_table(path: Path, rows: int) -> None:
    with duckdb.connect() as db:
        db.execute(f"COPY ({_TABLE.format(rows=rows)}) TO '{path}' (FORMAT parquet)")


def duckdb_alone(path: Path, key: tuple[str, ...], loader: LoaderSettings) -> tuple[float, int]:
    """→ (seconds, bytes of all rows)."""
    gc.collect()
    started = time.monotonic()
    with duckdb.connect(config={"memory_limit": f"{loader.memory_mb}MiB"}) as db:
        found = db.execute(f"SELECT to_json(t) FROM read_parquet('{path}') t ORDER BY {', '.join(key)}").fetchall()
    elapsed = time.monotonic() - started
    return elapsed, sum(len(row) for (row,) in found)


def havok(path: Path, data_dir: Path, options: Options, loader: LoaderSettings) -> tuple[float, dict[str, float]]:
    """→ (seconds, seconds of each step)."""
    gc.collect()
    stopwatch = Stopwatch()
    started = time.monotonic()
    indexes = PACKED_INDEXES if options.packed else None
    load(data_dir, DATASET, options.key, str(path), indexes=indexes, loader=loader, progress=stopwatch)
    elapsed = time.monotonic() - started
    stopwatch.step(0, "")
    return elapsed, stopwatch.steps


def measure(options: Options, console: Console) -> Report:
    machine = look(assign_cores())
    loader = LoaderSettings()
    rounds = []
    size = 0
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
        path = Path(directory) / "orders.parquet"
        with console.status("writing the table"):
            write_table(path, options.rows)
            havok(path, Path(directory), options, loader)  # the first load has no live version to compare with
        for number in range(options.rounds):
            with console.status(f"round {number + 1} of {options.rounds}"):
                duckdb_s, size = duckdb_alone(path, options.key, loader)
                havok_s, steps = havok(path, Path(directory), options, loader)
            rounds.append(Round(havok_s, duckdb_s, steps))
    ratio = median(each.havok_s / each.duckdb_s for each in rounds)
    verdicts = () if options.packed else (judge(bars.LOAD_OVER_DUCKDB, ratio),)
    return Report(machine, options, size / options.rows, tuple(rounds), ratio, verdicts)


def print_rounds(console: Console, report: Report) -> None:
    rows, rounds = report.options.rows, report.rounds
    table = Table(title=f"{rows:,} rows of {report.row_bytes:.0f} bytes, {len(rounds)} rounds", title_justify="left")
    for heading in ("", "seconds", "k rows/s"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, seconds in (
        ("DuckDB: sort and to_json", median(each.duckdb_s for each in rounds)),
        ("havok load, whole", median(each.havok_s for each in rounds)),
    ):
        table.add_row(name, f"{seconds:.2f}", f"{rows / seconds / 1e3:,.0f}")
    for name in rounds[0].steps:
        table.add_row(f"  {name}", f"{median(each.steps.get(name, 0.0) for each in rounds):.2f}", "")
    console.print(table)
    console.print(f"over DuckDB alone: {report.ratio:.2f}")


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=Options().rounds)
    parser.add_argument("--rows", type=int, default=Options().rows)
    parser.add_argument("--packed", action="store_true", help="a key of two columns and an index")
    parser.add_argument("--small", action="store_true", help="one round of 10,000 rows: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    rounds, rows = (1, 10_000) if chosen.small else (chosen.rounds, chosen.rows)
    options = Options(rounds, rows, chosen.packed)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_rounds(console, report)
    if report.bars:
        print_verdicts(console, report.bars)
    print_remarks(console, report.machine)
    if chosen.small:
        print_small(console)
    if chosen.json:
        write_json(chosen.json, report)


if __name__ == "__main__":
    main(sys.argv[1:])
