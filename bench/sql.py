"""`python -m bench.sql`: Havok's SQL services, DuckDB and PostgreSQL, one core each, rounds interleaved.

Rule: everyone is asked the same calls of the same queries over the same rows, and first their
answers are compared. Havok answers over HTTP, with all its guards; the others are asked from a
process that makes the JSON, without HTTP. How rounds go is `bench.contest`'s.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console

from bench import bars, deployment
from bench.bars import Verdict, judge
from bench.contest import Contest, Options
from bench.cpu import assign_cores, pinned
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.peer import Peer
from bench.peers import duckdb_twin, havok_sql, postgres
from bench.questions import DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, questions, same_answer
from bench.report import Figures, Row, Skipped, conclude, figures, over, print_figures, wide_console
from bench.wrk import ClientFailed

PEERS: tuple[Peer, ...] = (havok_sql.HavokSql(), duckdb_twin.DuckdbTwin(), postgres.Postgres())
ASKED = {duckdb_twin.DuckdbTwin.name: duckdb_twin.ASKED, postgres.Postgres.name: postgres.ASKED}
COMPARED_CALLS = 5  # of each question, before the rounds
DEPLOYMENTS = 20  # of each service


class Report(msgspec.Struct, frozen=True):
    """`deployed_ms`: by service, CPU of each change of it."""

    machine: Machine
    options: Options
    rows: tuple[Figures, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]
    measured: tuple[Row, ...]
    deployed_ms: dict[str, list[float]]


def compare(contest: Contest) -> None:
    """A peer whose answers are not Havok's is not measured: one of them is wrong."""
    own = contest.running.get(havok_sql.HavokSql.name)
    if own is None or own.answer is None:
        return
    for name, rows in ASKED.items():
        running = contest.running.get(name)
        if running is None or running.answer is None:
            continue
        for service, row in rows.items():
            question = questions()[service]
            for number in range(min(COMPARED_CALLS, len(question.calls))):
                try:
                    same = same_answer(question, own.answer(service, number), running.answer(service, number))
                    reason = f"it answers otherwise than Havok: {question.target(number)}"
                except ClientFailed as failure:
                    same, reason = False, str(failure)
                if not same:
                    contest.leave(row, reason)
                    break


def verdicts(rows: Sequence[Row], deployed_ms: Mapping[str, Sequence[float]]) -> tuple[Verdict, ...]:
    """The bars of this benchmark; those of rows that were not measured included."""
    by_name = {row.name: row for row in rows}
    own = {service: by_name.get(name) for service, name in havok_sql.ASKED.items()}
    duckdb, peer = duckdb_twin.ASKED, postgres.ASKED

    def over_peer(service: str, names: Mapping[str, str]) -> float | None:
        return over(own[service], by_name.get(names[service]))

    def cpu_us(service: str) -> float | None:
        row = own[service]
        return None if row is None else figures(row, None).cpu_us

    route_us = cpu_us(ROUTE_DELAYS)
    slowest = max((median(took) for took in deployed_ms.values()), default=None)
    return (
        judge(bars.SQL_POINT_OVER_KV, over(by_name.get(havok_sql.SQL), by_name.get(havok_sql.KV))),
        judge(bars.DEPARTURES, cpu_us(DEPARTURES)),
        judge(bars.PLANE_HISTORY, cpu_us(PLANE_HISTORY)),
        judge(bars.ROUTE_DELAYS, None if route_us is None else route_us / 1e3),
        judge(bars.DEPARTURES_OVER_DUCKDB, over_peer(DEPARTURES, duckdb)),
        judge(bars.PLANE_HISTORY_OVER_DUCKDB, over_peer(PLANE_HISTORY, duckdb)),
        judge(bars.DEPARTURES_OVER_POSTGRES, over_peer(DEPARTURES, peer)),
        judge(bars.PLANE_HISTORY_OVER_POSTGRES, over_peer(PLANE_HISTORY, peer)),
        judge(bars.ROUTE_DELAYS_OVER_POSTGRES, over_peer(ROUTE_DELAYS, peer)),
        judge(bars.SQL_SWAP, slowest),
    )


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    contest = Contest(options, console)
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory, ExitStack() as stack:
        contest.start(PEERS, cores, Path(directory), stack)
        compare(contest)
        contest.run()
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory, ExitStack() as stack:
        stack.enter_context(console.status("changing services"))
        stack.enter_context(pinned(cores.server))
        opened = stack.enter_context(deployment.snapshots(Path(directory), small=options.small))
        deployed_ms = deployment.cpu_ms(opened, 1 if options.small else DEPLOYMENTS)
    rows = contest.rows()
    return Report(
        machine=machine,
        options=options,
        rows=tuple(figures(row, None) for row in rows),
        bars=verdicts(rows, deployed_ms),
        skipped=tuple(contest.skipped),
        measured=tuple(rows),
        deployed_ms=deployed_ms,
    )


def parse(argv: Sequence[str]) -> tuple[Options, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m bench.sql", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=Options().rounds)
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="length of each stretch")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="part of a peer's name; repeatable")
    parser.add_argument("--small", action="store_true", help="one round of 1.5 s: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds must be at least 1 and --seconds above 0")
    size = {"rounds": 1, "seconds": 1.5} if chosen.small else {"rounds": chosen.rounds, "seconds": chosen.seconds}
    return Options(**size, small=chosen.small, only=tuple(chosen.only)), chosen.json


def main(argv: Sequence[str]) -> None:
    options, json_path = parse(argv)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_figures(console, report.rows, f"{options.rounds} × {options.seconds:g} s; Havok: 32 connections, others: one")
    for service, took in report.deployed_ms.items():
        console.print(f"a change of {service}: {median(took):.2f} ms of CPU", highlight=False)
    conclude(console, report, small=options.small, json=json_path)


if __name__ == "__main__":
    main(sys.argv[1:])
