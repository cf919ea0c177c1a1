"""Tables for people and the same facts as JSON.

Rule: every figure is a median over rounds, every ratio the median of the ratios within
each round, so that a machine that slows down for a while moves both sides. A bar is printed
beside the figure it judges, and what was not measured is said to be so.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec
from rich.console import Console
from rich.table import Table

from bench.bars import Bar, Verdict
from bench.machine import Machine
from bench.wrk import Observed

WIDTH_MIN = 132  # columns of the widest table; a log file gets that too
SATURATED = 0.95  # of a core; a client that is: requests/s is what it can send
DISTURBED = 0.85  # neither side reached this share of its core: something else ran there


class Round(msgspec.Struct, frozen=True):
    """One measured stretch: what the client saw and what the server's processes used."""

    observed: Observed
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request."""
        return self.cpu_seconds * 1e6 / max(1, self.observed.requests)

    @property
    def rate(self) -> float:
        return self.observed.requests / self.observed.seconds


class Row(msgspec.Struct, frozen=True):
    """The rounds of one drive, oldest first."""

    name: str
    client: str
    items: int
    note: str
    rounds: tuple[Round, ...]


class Figures(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    client: str
    note: str
    rounds: int
    cpu_us: float
    over_nginx: float | None
    rate: float
    items_rate: float  # lookups in a second of the server's CPU: what one core does when it is full
    p50_us: float
    p99_us: float
    server_busy: float
    client_busy: float
    failed: int


class Skipped(msgspec.Struct, frozen=True):
    """What was not measured, and why; `failed`: it is Havok's own and ought to have run."""

    name: str
    reason: str
    failed: bool = False


def over(row: Row | None, other: Row | None) -> float | None:
    """CPU per request of a row over another's: median of the rounds' ratios."""
    if row is None or other is None:
        return None
    pairs = zip(row.rounds, other.rounds, strict=False)
    ratios = [mine.cpu_us / theirs.cpu_us for mine, theirs in pairs if theirs.cpu_seconds > 0]
    return median(ratios) if ratios else None


def figures(row: Row, floor: Row | None) -> Figures:
    cpu_us = median(each.cpu_us for each in row.rounds)
    return Figures(
        name=row.name,
        client=row.client,
        note=row.note,
        rounds=len(row.rounds),
        cpu_us=cpu_us,
        over_nginx=over(row, floor),
        rate=median(each.rate for each in row.rounds),
        items_rate=row.items * 1e6 / cpu_us if cpu_us else 0.0,
        p50_us=median(each.observed.p50_us for each in row.rounds),
        p99_us=median(each.observed.p99_us for each in row.rounds),
        server_busy=median(each.cpu_seconds / each.observed.seconds for each in row.rounds),
        client_busy=median(each.observed.client_busy for each in row.rounds),
        failed=sum(each.observed.failed for each in row.rounds),
    )


def wide_console() -> Console:
    """Never narrower than the tables, whatever it writes to."""
    console = Console()
    return console if console.width >= WIDTH_MIN else Console(width=WIDTH_MIN)


def print_figures(console: Console, rows: Sequence[Figures], title: str) -> None:
    table = Table(title=title, title_justify="left")
    beside_nginx = any(row.over_nginx is not None for row in rows)
    for heading in (
        "server, one core",
        "CPU µs/request",
        *(["over nginx"] if beside_nginx else []),
        "requests/s",
        "p50 µs",
        "p99 µs",
        "busy",
        "failed",
    ):
        table.add_column(heading, justify="left" if heading.startswith("server") else "right", no_wrap=True)
    for row in rows:
        saturated = "*" if row.client_busy >= SATURATED else ""
        table.add_row(
            row.name,
            f"{row.cpu_us:.2f}",
            *(["–" if row.over_nginx is None else f"{row.over_nginx:.2f} ×"] if beside_nginx else []),
            f"{row.rate:,.0f}{saturated}",
            f"{row.p50_us:,.0f}",
            f"{row.p99_us:,.0f}",
            f"{row.server_busy:.0%}",
            f"[red]{row.failed:,}[/red]" if row.failed else "0",
        )
    console.print(table)
    if any(row.client_busy >= SATURATED for row in rows):
        console.print("* the client was saturated: requests/s is what it could send, CPU µs/request stands")
    if any(max(row.client_busy, row.server_busy) < DISTURBED for row in rows):
        console.print(
            "[yellow]in some rows neither side filled its core: other work ran here, so requests/s and "
            "percentiles are not the server's; CPU µs/request and ratios hold better[/yellow]"
        )
    for note in dict.fromkeys(f"{row.name}: {row.note} ({row.client})" for row in rows if row.note):
        console.print(f"[dim]{note}[/dim]", highlight=False)


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> None:
    table = Table(title="bars", title_justify="left")
    for heading in ("measure", "figure", "bar", "aim", ""):
        table.add_column(heading, justify="left" if heading in ("measure", "") else "right", no_wrap=True)
    for verdict in verdicts:
        bar = verdict.bar
        table.add_row(
            bar.measure,
            "not measured" if verdict.figure is None else _figure(verdict.figure, bar),
            "–" if bar.bar is None else _limit(bar.bar, bar),
            _limit(bar.aim, bar),
            _word(verdict),
        )
    console.print(table)


def _word(verdict: Verdict) -> str:
    if verdict.figure is None:
        return "–"
    if verdict.aimed:
        return "[green]pass, aim reached[/green]"
    if verdict.bar.bar is None:
        return "[yellow]aim missed[/yellow]"
    return "[green]pass[/green]" if verdict.passed else "[red]miss[/red]"


def _limit(value: float, bar: Bar) -> str:
    return f"{'≥' if bar.least else '≤'} {_figure(value, bar)}"


def _figure(value: float, bar: Bar) -> str:
    match bar.unit:
        case "count" | "keys/s":
            return f"{value:,.0f}" if bar.unit == "count" else f"{value / 1e3:,.0f} k keys/s"
        case "µs":
            return f"{value:,.0f} µs"
        case _:
            return f"{value:.2f} {bar.unit}"


def print_remarks(console: Console, machine: Machine, skipped: Sequence[Skipped] = ()) -> None:
    for each in skipped:
        console.print(f"skipped: {each.name}: {each.reason}", highlight=False, markup=False)
    console.print(
        f"{machine.cpu}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"server on core {machine.server_core}, client on core {machine.client_core}",
        highlight=False,
    )
    for remark in machine.remarks:
        console.print(f"[yellow]{remark}[/yellow]", highlight=False)


def print_small(console: Console) -> None:
    console.print("[yellow]a small run: it shows that everything runs; the figures mean nothing[/yellow]")


def write_json(path: Path, report: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


class Concluded(Protocol):
    """What the report of every benchmark with bars has."""

    @property
    def machine(self) -> Machine: ...
    @property
    def bars(self) -> Sequence[Verdict]: ...
    @property
    def skipped(self) -> Sequence[Skipped]: ...


def conclude(console: Console, report: Concluded, *, small: bool, json: Path | None) -> None:
    """The end of every benchmark: its bars, where it ran, what is missing; exit code 1 when something did not run."""
    print_verdicts(console, report.bars)
    print_remarks(console, report.machine, report.skipped)
    if small:
        print_small(console)
    if json:
        assert isinstance(report, msgspec.Struct)
        write_json(json, report)
    end_if_failed(report.skipped)


def end_if_failed(skipped: Sequence[Skipped]) -> None:
    """Exit code 1 when what was to be measured did not run: a peer that is missing is no failure."""
    if any(each.failed for each in skipped):
        sys.exit(1)
