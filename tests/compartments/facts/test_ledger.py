"""The ledger's laws."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from compartments.facts.ledger import Ledger
from havok.messages import Heartbeat, State

keys = st.sampled_from(["deploy/a", "deploy/b", "peers/x", "stage/d", "standby/d"])
changes = st.lists(st.tuples(st.dictionaries(keys, st.binary(max_size=2)), st.lists(keys, max_size=3)), max_size=30)


@given(changes)
def test_bulletins_replayed_in_order_are_the_state(made: list[tuple[Mapping[str, bytes], list[str]]]) -> None:
    ledger, copy = Ledger(7), dict[str, bytes]()
    number = 0
    for entries, drop in made:
        before = dict(copy)
        bulletin = ledger.change(entries, drop)
        if bulletin is not None:
            number += 1
            assert (bulletin.epoch, bulletin.seq) == (7, number)
            copy.update(bulletin.set)
            for key in bulletin.drop:
                del copy[key]
            assert copy != before, "a bulletin changes something"
        assert ledger.state() == State(7, number, copy)
        assert ledger.heartbeat() == Heartbeat(7, number)


@given(changes)
def test_what_does_not_change_makes_no_bulletin(made: list[tuple[Mapping[str, bytes], list[str]]]) -> None:
    ledger = Ledger(1)
    for entries, drop in made:
        ledger.change(entries, drop)
        assert ledger.change(entries, drop) is None


def test_a_state_is_a_copy() -> None:
    ledger = Ledger(1)
    ledger.change({"a": b"1"})
    state = ledger.state()
    ledger.change({"a": b"2"})
    assert state.entries == {"a": b"1"}


def test_keys_are_found_by_prefix() -> None:
    ledger = Ledger(1)
    ledger.change({"deploy/a": b"", "deploy/b": b"", "deployed/c": b"", "peers/x": b""})
    assert sorted(ledger.keys("deploy/")) == ["deploy/a", "deploy/b"]


def test_an_entry_set_and_dropped_at_once_is_set() -> None:
    ledger = Ledger(1)
    ledger.change({"a": b"1"})
    assert ledger.change({"a": b"1"}, ["a"]) is None
    assert ledger.state().entries == {"a": b"1"}


def test_a_number_of_an_earlier_supervisor_reaches_nothing() -> None:
    ledger = Ledger(2)
    ledger.change({"a": b"1"})
    assert ledger.is_reached(2, 1)
    assert not ledger.is_reached(2, 0)
    assert not ledger.is_reached(1, 40)
