"""From wanted to served, in one worker's loop, with real files."""

import asyncio
import os
import socket

import msgspec

from compartments.facts.deployment import Deployment, Refusal, Stage, deploy_key, stage_key, standby_key
from compartments.versions.planning import Planning
from engine.http.passage import RANKS, UNRANKED
from engine.http.route import Elsewhere, Route, Unready
from tests import snapshots
from tests.compartments.client import Client, request
from tests.compartments.node import descriptors, open_files
from tests.compartments.workbench import SETTINGS, Bench


def test_a_version_is_opened_then_served(bench: Bench) -> None:
    one = bench.build(1)
    bench.serve(one, "a", "b")
    assert isinstance(bench.server.target("a"), Unready), "503 until it is open"
    assert isinstance(bench.server.target("b"), Elsewhere)
    assert not bench.deployer.settled
    bench.settle()
    assert bench.serving() == one
    assert bench.serving("b") is None
    assert bench.deployer.faults == {}


def test_priorities_of_compartments_are_known(bench: Bench) -> None:
    """Its own from what is to be served here, others' from what is not; and when they change."""
    one = bench.build(1)
    assert bench.server.forwarding.rank == UNRANKED
    bench.serve(one, "a", "b")
    bench.settle()
    for here, there in (("medium", "medium"), ("high", "low"), ("low", "high")):
        a = msgspec.structs.replace(bench.made("a", one), priority=here)
        b = msgspec.structs.replace(bench.made("b", one), priority=there)
        bench.tell({deploy_key("a"): a, deploy_key("b"): b})
        assert bench.server.forwarding.rank == RANKS[here]
        target = bench.server.target("b")
        assert isinstance(target, Elsewhere)
        assert target.rank == RANKS[there]
        assert bench.serving() == one, "it is served without a break"


def test_a_new_version_closes_the_old_unless_it_stands_by(bench: Bench) -> None:
    one, two, three = (bench.build(n) for n in (1, 2, 3))
    for version, standby, open_then in ((one, None, {one}), (two, one, {one, two}), (three, two, {two, three})):
        bench.serve(version, standby=standby)
        bench.settle()
        assert bench.serving() == version
        bench.drive.until(lambda: {v for v in (one, two, three) if bench.locked(v)} == open_then)  # noqa: B023
        assert {v for v in (one, two, three) if bench.mapped(v)} == open_then


def test_a_standby_is_flipped_to_at_once(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2)
    bench.serve(two, standby=one)
    bench.settle()
    assert bench.serving() == two
    bench.serve(one, standby=two)
    assert bench.serving() == one, "between two requests, without a turn of the loop"


def test_a_new_version_with_the_same_schema_takes_no_compiling(bench: Bench) -> None:
    """A swap of a dataset that a hundred services read would hold the loop up otherwise."""

    def code() -> object:
        target = bench.server.target("a")
        assert isinstance(target, Route)
        return target.program.point.__code__

    bench.serve(bench.build(1))
    bench.settle()
    before = code()
    two = bench.build(2)
    bench.serve(two)
    bench.drive.until(lambda: bench.serving() == two)
    assert code() is before


def test_staged_then_published_is_one_flip_without_opening(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2)
    bench.serve(one, "a", "v")
    bench.settle()
    items = tuple(bench.made(name, two) for name in ("a", "v", "b"))
    bench.tell({stage_key("things"): Stage("s1", items)})
    assert bench.deployer.staged == ()
    bench.drive.until(lambda: bench.deployer.staged == ("s1",))
    assert bench.serving() == one, "staged is not served"
    held = descriptors(os.getpid())
    bench.serve(two, "a", "v", standby=one)
    assert bench.deployer.serving == {"a": {"things": two}, "v": {"things": two}}
    bench.tell({}, drop=(stage_key("things"),))
    assert descriptors(os.getpid()) == held
    assert bench.deployer.staged == ()


def test_a_stage_that_is_served_already_is_ready_and_holds_nothing_more(bench: Bench) -> None:
    """Whoever published it first, who staged it must not wait for ever."""
    one, two = bench.build(1), bench.build(2)
    bench.serve(one)
    bench.settle()
    bench.tell({stage_key("(settings)"): Stage("s1", (bench.made("a", two),))})
    bench.drive.until(lambda: bench.deployer.staged == ("s1",))
    bench.serve(two, standby=one)
    assert bench.deployer.staged == ("s1",)
    bench.tell({})
    assert bench.deployer._prepared == {}, "nothing is compiled for what is served"
    bench.serve(one, standby=two)
    assert bench.deployer.staged == ("s1",), "it can be flipped to again"
    assert len(bench.deployer._prepared) == 1


def test_a_stage_given_up_is_closed(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2)
    bench.serve(one)
    bench.settle()
    bench.tell({stage_key("things"): Stage("s1", (bench.made("a", two),))})
    bench.drive.until(lambda: bench.deployer.staged)
    assert bench.locked(two)
    bench.tell({}, drop=(stage_key("things"),))
    bench.drive.until(lambda: not bench.locked(two))
    assert not bench.mapped(two)
    assert bench.serving() == one


def test_a_stage_given_up_while_it_is_read_is_not_opened(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2)
    bench.serve(one)
    bench.settle()
    bench.tell({stage_key("things"): Stage("s1", (bench.made("a", two),))})
    bench.tell({}, drop=(stage_key("things"),))
    bench.drive.until(lambda: not bench.deployer._opening)
    assert not bench.mapped(two)


def test_going_back_to_a_version_that_only_an_old_route_holds(bench: Bench) -> None:
    """It is open already; opening it twice in a process cannot be."""
    one, two, three = bench.build(1), bench.build(2, column="w"), bench.build(3, column="w")
    bench.serve(one, "v")
    bench.settle()
    bench.serve(two, "v", standby=one)
    bench.settle()
    bench.serve(three, "v", "a", standby=two)
    bench.settle()
    assert bench.serving("v") == one
    assert bench.serving("a") == three
    bench.serve(one, "v", "a", standby=three)
    bench.settle()
    assert bench.deployer.faults == {}
    assert bench.deployer.serving == {"v": {"things": one}, "a": {"things": one}}
    bench.serve(three, "a")
    bench.tell({}, drop=(deploy_key("v"), standby_key("things")))
    bench.settle()
    bench.drive.until(lambda: not bench.mapped(one), what="and when nothing wants it, it is closed")
    bench.drive.until(lambda: not bench.locked(one))


def test_a_service_that_moves_here_and_fails_is_not_sent_away_again(bench: Bench) -> None:
    """Else two workers would hand a connection to and fro for ever."""
    one = bench.build(1)
    moved = bench.made("b", one)
    bench.serve(one, "a", "b")
    bench.settle()
    assert isinstance(bench.server.target("b"), Elsewhere)
    snapshots.damage(bench.path, "things", bench.build(2), b"v2-7")
    here = msgspec.structs.replace(moved, compartment="one", versions=(("things", bench_version(2)),))
    bench.tell({deploy_key("b"): here})
    assert isinstance(bench.server.target("b"), Unready)
    bench.settle()
    assert isinstance(bench.server.target("b"), Unready)
    assert bench.serving("a") == one


def bench_version(number: int) -> str:
    return f"20261123T00000{number}Z-{number:08x}"


def test_a_service_that_leaves_is_removed_and_closed(bench: Bench) -> None:
    one = bench.build(1)
    bench.serve(one, "a", "b")
    bench.settle()
    bench.tell({}, drop=(deploy_key("a"), deploy_key("b")))
    assert bench.server.target("a") is None
    assert bench.server.target("b") is None
    bench.drive.until(lambda: not bench.mapped(one))


def test_a_service_that_leaves_before_it_was_open_is_removed(bench: Bench) -> None:
    bench.serve(bench.build(1))
    assert isinstance(bench.server.target("a"), Unready)
    bench.tell({}, drop=(deploy_key("a"),))
    assert bench.server.target("a") is None, "404, not 503 for ever"


def test_a_service_that_moves_here_and_back_before_it_was_open_is_elsewhere(bench: Bench) -> None:
    away = bench.made("b", bench.build(1))
    bench.tell({deploy_key("b"): away})
    bench.tell({deploy_key("b"): msgspec.structs.replace(away, compartment="one")})
    assert isinstance(bench.server.target("b"), Unready)
    assert not bench.deployer.settled
    bench.tell({deploy_key("b"): away})
    assert isinstance(bench.server.target("b"), Elsewhere)
    assert bench.deployer.settled


def test_a_service_without_a_version_says_so(bench: Bench) -> None:
    bench.tell({deploy_key("a"): Planning().deployment(SETTINGS, "a", {})})
    assert bench.deployer.settled
    target = bench.server.target("a")
    assert isinstance(target, Unready)
    assert target.error.code == "no_version"
    one = bench.build(1)
    bench.serve(one)
    bench.settle()
    assert bench.serving() == one
    bench.tell({deploy_key("a"): Deployment("a", "one", refusal=Refusal("no_version", "all damaged"))})
    assert isinstance(bench.server.target("a"), Unready), "what no version can answer is not answered"
    bench.drive.until(lambda: not bench.mapped(one))


def test_the_histogram_outlives_the_version(bench: Bench) -> None:
    one, two = bench.build(1), bench.build(2)
    bench.serve(one)
    bench.settle()
    target = bench.server.target("a")
    assert isinstance(target, Route)
    target.histogram.record(1000)
    bench.serve(two)
    bench.settle()
    after = bench.server.target("a")
    assert isinstance(after, Route)
    assert after is not target
    assert after.histogram.count == 1


def test_hundreds_of_swaps_under_requests(bench: Bench) -> None:
    """FAULTS 7 and 8 small: live connections, pipelined; every answer whole and of one version."""
    versions = [bench.build(n) for n in range(1, 5)]
    bench.serve(versions[0], "a", "v")
    bench.settle()
    pairs = [socket.socketpair() for _ in range(4)]
    for ours, _ in pairs:
        ours.setblocking(False)
        bench.server.accept(ours)
    clients = [client_on(theirs) for _, theirs in pairs]
    answers = 0
    for swap in range(400):
        bench.serve(versions[swap % 4], "a", "v", standby=versions[(swap + 3) % 4])
        for client in clients:
            client.send(request("a", f"k{swap % 20}") + request("v", f"k{swap % 20}"))
        bench.drive.turn(1)
        for client in clients:
            client.take()
        if swap % 50 == 49:
            bench.settle()
    bench.drive.turn(5)
    for client in clients:
        for swap in range(400):
            for service in ("a", "v"):
                answer = client.answer()
                assert answer.status == 200, (service, answer)
                number = int(answer.data["v"][1:].partition("-")[0])
                assert answer.data["v"].endswith(f"-{swap % 20}")
                assert answer.version == f"things@{versions[number - 1]}", "the row is of the version it says"
                answers += 1
    bench.settle()
    bench.drive.until(lambda: sum(bench.mapped(version) for version in versions) == 2)
    bench.drive.until(lambda: len(open_files(os.getpid(), str(bench.path))) == 4, what="two versions, two files each")
    print(f"400 swaps, {answers} answers")
    for client in clients:
        client.sock.close()


def client_on(sock: socket.socket) -> Client:
    made = Client.__new__(Client)
    made.sock = sock
    made.sock.settimeout(5)
    made._buffer = b""
    return made


def test_facts_that_are_none_of_a_deployers_cost_nothing(bench: Bench) -> None:
    """With a thousand services, each worker that comes or goes would hold up all the others."""
    one = bench.build(1)
    bench.serve(one, standby=one)
    bench.settle()
    before, target = bench.changes, bench.server.target("a")
    bench.tell({"peers/one": ["/w-1.sock"]})
    bench.serve(one, standby=one)
    assert bench.changes == before
    assert bench.server.target("a") is target
    bench.tell({}, drop=(standby_key("things"),))
    assert bench.changes == before + 1


def test_closing_ends_what_is_being_opened(bench: Bench) -> None:
    bench.serve(bench.build(1))
    bench.drive.loop.run_until_complete(bench.deployer.close())
    assert asyncio.all_tasks(bench.drive.loop) == set()
