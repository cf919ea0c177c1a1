"""Ledger entries, decoded once."""

import pytest

from compartments.facts.entries import Entries


class Decoder:
    """Remembers what it decoded."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, value: bytes) -> str:
        self.asked.append(value)
        return value.decode()


@pytest.fixture
def decode() -> Decoder:
    return Decoder()


def test_only_what_is_different_is_decoded(decode: Decoder) -> None:
    entries = Entries(deploy=decode, stage=decode)
    facts = {"deploy/a": b"1", "deploy/b": b"2", "stage/a": b"3", "peers/a": b"4"}
    assert entries.follow(facts)
    assert entries.of("deploy") == {"a": "1", "b": "2"}
    assert entries.of("stage") == {"a": "3"}
    decode.asked.clear()
    assert not entries.follow(dict(facts)), "the same facts, told anew"
    facts["peers/a"] = b"5"
    facts["standby/x"] = b"6"
    assert not entries.follow(facts), "of kinds that are not followed"
    facts["deploy/b"] = b"7"
    assert entries.follow(facts), "changed in place, as a replica does"
    assert entries.of("deploy") == {"a": "1", "b": "7"}
    del facts["deploy/a"]
    assert entries.follow(facts)
    assert entries.of("deploy") == {"b": "7"}
    assert decode.asked == [b"7"]


def test_what_was_given_out_stays(decode: Decoder) -> None:
    entries = Entries(deploy=decode)
    entries.follow({"deploy/a": b"1"})
    before = entries.of("deploy")
    entries.follow({})
    assert (before, entries.of("deploy")) == ({"a": "1"}, {})


def test_entries_that_cannot_be_read_change_nothing() -> None:
    """They are met again, and not taken for what is known."""
    entries = Entries(deploy=bytes.decode)
    entries.follow({"deploy/a": b"1"})
    for _ in range(2):
        with pytest.raises(UnicodeDecodeError):
            entries.follow({"deploy/b": b"2", "deploy/c": b"\xff"})
    assert entries.of("deploy") == {"a": "1"}
    assert entries.follow({"deploy/b": b"2"})
    assert entries.of("deploy") == {"b": "2"}
