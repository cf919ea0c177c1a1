"""From ledger entries to what a compartment needs."""

import msgspec

from compartments.facts.deployment import Deployment, Stage
from compartments.versions.wanted import EXECUTED_S_MAX, elsewhere, entries_of_interest, rank_of, read_entries
from engine.http.passage import RANKS, UNRANKED
from engine.http.route import ANSWER_S_MAX
from havok.settings import ExecutorSettings


def test_entries_are_read_by_their_kind() -> None:
    encode = msgspec.msgpack.encode
    a = Deployment("a", "one", versions=(("things", "1"),))
    c = Deployment("c", "one", versions=(("more", "1"),), executors=ExecutorSettings())
    b = Deployment("b", "two", versions=(("others", "1"),))
    later = Deployment("a", "one", versions=(("things", "2"),))
    entries = entries_of_interest()
    assert entries.follow(
        {
            "deploy/a": encode(a),
            "deploy/b": encode(b),
            "deploy/c": encode(c),
            "stage/things": encode(Stage("s", (later,))),
            "standby/things": encode("0"),
            "standby/others": encode("0"),
            "standby/more": encode("0"),
            "peers/one": encode(["/x"]),
            "unknown/thing": b"",
        }
    )
    wanted = read_entries(entries)
    more = {("more", "1"), ("more", "0")}
    assert wanted.deployments == {"a": a, "b": b, "c": c}
    assert wanted.versions("one") == {("things", "1"), ("things", "2"), ("things", "0"), *more}
    assert wanted.twins("one") == more, "what is analytical, and what a rollback of it would read"
    assert wanted.twins("two") == set()
    assert wanted.versions("two") == {("others", "1"), ("others", "0")}
    assert wanted.versions("none") == set()


def test_what_a_service_is_to_workers_of_other_compartments() -> None:
    high = Deployment("a", "one", priority="high")
    slow = Deployment("b", "two", executors=ExecutorSettings(), priority="low")
    assert rank_of([high, slow], "one") == RANKS["high"]
    assert rank_of([high, slow], "two") == RANKS["low"]
    assert rank_of([high, slow], "none") == UNRANKED
    targets = [elsewhere(high), elsewhere(slow)]
    assert [(found.service, found.compartment, found.rank, found.answer_s) for found in targets] == [
        ("a", "one", RANKS["high"], ANSWER_S_MAX),
        ("b", "two", RANKS["low"], EXECUTED_S_MAX),
    ]
