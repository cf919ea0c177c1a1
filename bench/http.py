"""`python -m bench.http`: Havok and its peers, one core each, rounds interleaved.

Rule: all servers run on the server's core and are loaded from the client's core; how is
`bench.contest`'s.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from bench import bars
from bench.bars import Verdict, judge
from bench.contest import Contest, Options
from bench.cpu import assign_cores
from bench.machine import Machine, look
from bench.peer import Peer
from bench.peers import aiohttp_lmdb, fastapi_redis, havok, nginx, redis, roapi
from bench.report import Figures, Row, Skipped, conclude, figures, over, print_figures, wide_console

PEERS: tuple[Peer, ...] = (
    nginx.Nginx(),
    redis.RedisGet(),
    aiohttp_lmdb.AiohttpLmdb(),
    roapi.Roapi(),
    fastapi_redis.FastapiRedis(),
    havok.Havok(),
)


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    rows: tuple[Figures, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]
    measured: tuple[Row, ...]  # every round, for whoever wants other statistics


def verdicts(rows: Sequence[Row]) -> tuple[Verdict, ...]:
    """The bars of this benchmark; those of rows that were not measured included."""
    by_name = {row.name: row for row in rows}
    get = by_name.get(havok.GET)
    batch = by_name.get(havok.BATCH)
    return (
        judge(bars.GET_OVER_NGINX, over(get, by_name.get(nginx.Nginx.name))),
        judge(bars.GET_OVER_AIOHTTP, over(get, by_name.get(aiohttp_lmdb.AiohttpLmdb.name))),
        judge(bars.GET_OVER_ROAPI, over(get, by_name.get(roapi.Roapi.name))),
        judge(bars.FIELDS_OVER_ROW, over(by_name.get(havok.GET_FIELDS), by_name.get(havok.GET_ROW))),
        judge(bars.BATCH_KEYS, figures(batch, None).items_rate if batch else None),
    )


def measure(options: Options, console: Console, all_peers: Sequence[Peer] = PEERS) -> Report:
    cores = assign_cores()
    machine = look(cores)
    contest = Contest(options, console)
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory, ExitStack() as stack:
        contest.start(all_peers, cores, Path(directory), stack)
        contest.run()
    rows = contest.rows()
    floor = next((row for row in rows if row.name == nginx.Nginx.name), None)
    return Report(
        machine=machine,
        options=options,
        rows=tuple(figures(row, floor) for row in rows),
        bars=verdicts(rows),
        skipped=tuple(contest.skipped),
        measured=tuple(rows),
    )


def parse(argv: Sequence[str]) -> tuple[Options, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m bench.http", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each stretch")
    parser.add_argument("--keys", choices=("one", "many"), default="many", help="one request repeated, or all keys")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="part of a peer's name; repeatable")
    parser.add_argument("--small", action="store_true", help="one round of 0.5 s: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds must be at least 1 and --seconds above 0")
    options = Options(
        rounds=1 if chosen.small else chosen.rounds,
        seconds=0.5 if chosen.small else chosen.seconds,
        many_keys=chosen.keys == "many",
        small=chosen.small,
        only=tuple(chosen.only),
    )
    return options, chosen.json


def end_on_sigterm() -> None:
    """Servers are ended on the way out, so SIGTERM must unwind rather than kill."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(argv: Sequence[str]) -> None:
    options, json_path = parse(argv)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    keys = "all keys in turn" if options.many_keys else "one key"
    print_figures(console, report.rows, f"{options.rounds} × {options.seconds:g} s, 32 connections, {keys}")
    conclude(console, report, small=options.small, json=json_path)


if __name__ == "__main__":
    main(sys.argv[1:])
