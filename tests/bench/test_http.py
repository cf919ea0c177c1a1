"""The contest with peers that need no program: what is skipped, what leaves, what is ended."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from bench.contest import Options
from bench.http import measure, parse
from bench.peer import Drive, Place, Running
from bench.process import StartFailed
from bench.wrk import ClientFailed, Observed


class Peer:
    """Serves nothing; `calls` says what was asked of it."""

    def __init__(self, name: str, *, missing: str | None = None, start: str | None = None, fail_at: int = 0) -> None:
        self.name = name
        self.calls: list[str] = []
        self._missing = missing
        self._start = start
        self._fail_at = fail_at

    def unavailable(self) -> str | None:
        return self._missing

    def start(self, place: Place) -> Running:
        if self._start:
            raise StartFailed(self._start)
        return Running(
            pids=lambda: [os.getpid()],
            drives=(Drive(self.name, "none", self._drive),),
            stop=lambda: self.calls.append("stop"),
        )

    def _drive(self, seconds: float) -> Observed:
        self.calls.append("drive")
        if len(self.calls) == self._fail_at:
            raise ClientFailed("the client broke")
        return Observed(requests=10, seconds=seconds, p50_us=1, p99_us=2, failed=0, client_busy=0)


def test_each_drive_is_warmed_measured_in_rounds_and_its_peer_ended() -> None:
    peer = Peer("one")
    report = measure(Options(rounds=2, seconds=0.01), Console(quiet=True), [peer])
    assert peer.calls == ["drive", "drive", "drive", "stop"]
    assert [(each.name, each.rounds) for each in report.rows] == [("one", 2)]


def test_what_cannot_run_is_named_with_its_reason() -> None:
    peers = [Peer("absent", missing="not installed"), Peer("broken", start="port taken"), Peer("fine")]
    report = measure(Options(rounds=1, seconds=0.01), Console(quiet=True), peers)
    assert [(each.name, each.reason) for each in report.skipped] == [
        ("absent", "not installed"),
        ("broken", "it did not start: port taken"),
    ]
    assert [each.name for each in report.rows] == ["fine"]


def test_a_drive_that_fails_leaves_and_the_others_go_on() -> None:
    failing, fine = Peer("failing", fail_at=2), Peer("fine")
    report = measure(Options(rounds=2, seconds=0.01), Console(quiet=True), [failing, fine])
    assert [(each.name, each.reason) for each in report.skipped] == [("failing", "the client broke")]
    assert failing.calls[-1] == "stop"
    assert [(each.name, each.rounds) for each in report.rows] == [("fine", 2)]


def test_bars_of_what_was_not_measured_are_no_pass() -> None:
    report = measure(Options(rounds=1, seconds=0.01), Console(quiet=True), [Peer("one")])
    assert not any(verdict.passed for verdict in report.bars)


@pytest.mark.parametrize("argv", [["--rounds", "0"], ["--seconds", "0"], ["--keys", "few"]])
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(argv)
    assert caught.value.code == 2


def test_small_overrides_sizes(tmp_path: Path) -> None:
    options, path = parse(["--small", "--rounds", "9", "--json", str(tmp_path / "out.json")])
    assert (options.rounds, options.seconds, path) == (1, 0.5, tmp_path / "out.json")
