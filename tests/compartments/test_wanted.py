"""From ledger entries to what a compartment needs."""

import msgspec

from compartments.deployment import Deployment, Stage
from compartments.wanted import entries_of_interest, read_entries
from havok.settings import ExecutorSettings


def test_entries_are_read_by_their_kind() -> None:
    encode = msgspec.msgpack.encode
    a = Deployment("a", "one", 1, versions=(("things", "1"),))
    c = Deployment("c", "one", 1, versions=(("more", "1"),), executors=ExecutorSettings())
    b = Deployment("b", "two", 1, versions=(("others", "1"),))
    later = Deployment("a", "one", 1, versions=(("things", "2"),))
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
