"""The SQL contest without its servers: what is missing is not measured, what differs is a failure."""

import msgspec
import pytest
from rich.console import Console

from bench.contest import Contest, Options
from bench.peer import Running
from bench.peers import havok_sql, postgres
from bench.questions import ROUTE_DELAYS
from bench.sql import compare, parse, verdicts
from bench.wrk import ClientFailed
from tests.bench.test_report import row


def running(carrier: str) -> Running:
    row = {"carrier": carrier, "sched_dep_time": 1, "year": 2013, "month": 1, "day": 1}
    body = msgspec.json.encode({"data": [row]})
    return Running(list, (), lambda: None, lambda service, number: body)


def test_nothing_measured_is_no_pass_and_no_crash() -> None:
    assert all(verdict.figure is None for verdict in verdicts([], {}))


def test_ratios_are_those_of_the_same_service() -> None:
    rows = [row(havok_sql.ASKED[ROUTE_DELAYS], 4000, 4000), row(postgres.ASKED[ROUTE_DELAYS], 2000, 2000)]
    found = {verdict.bar.measure: verdict.figure for verdict in verdicts(rows, {ROUTE_DELAYS: [1.0, 3.0, 2.0]})}
    assert [figure for figure in found.values() if figure is not None] == pytest.approx([4.0, 2.0, 2.0])


def test_other_answers_than_havoks_are_a_failure() -> None:
    contest = Contest(Options(), Console(quiet=True))
    contest.running = {havok_sql.HavokSql.name: running("AA"), postgres.Postgres.name: running("BB")}
    compare(contest)
    assert {each.name for each in contest.skipped if each.failed} == set(postgres.ASKED.values())


def test_a_peer_that_ends_while_it_is_compared_is_skipped() -> None:
    def broken(service: str, number: int) -> bytes:
        raise ClientFailed("it ended")

    contest = Contest(Options(), Console(quiet=True))
    peer = Running(list, (), lambda: None, broken)
    contest.running = {havok_sql.HavokSql.name: running("AA"), postgres.Postgres.name: peer}
    compare(contest)
    assert [each.reason for each in contest.skipped] == ["it ended"] * len(postgres.ASKED)


def test_postgres_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_program", lambda name: None)
    assert "not installed" in (postgres.Postgres().unavailable() or "")


def test_small_overrides_sizes() -> None:
    options, _ = parse(["--small", "--rounds", "9"])
    assert (options.rounds, options.seconds) == (1, 1.5)
