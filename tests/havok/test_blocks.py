"""Entries of columns: what is put in comes out, and what was altered does not."""

from bisect import bisect_left
from itertools import accumulate
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havok.blocks import Block, pack_block
from havok.errors import DamagedVersion

KEYS = st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=40, unique=True).map(sorted)
BEGINNINGS = st.sampled_from([b"", b"a", b"origin\0\x80"])


def packed(keys: list[bytes], sections: list[bytes], base: int = 0) -> tuple[bytes, bytes]:
    return pack_block(list(accumulate(map(len, keys), initial=base)), b"".join(keys), sections)


def opened(entry: tuple[bytes, bytes]) -> Block:
    key, value = entry
    return Block(key, memoryview(value))


@given(keys=KEYS, beginning=BEGINNINGS, sought=st.binary(max_size=8), base=st.integers(0, 9))
def test_keys_come_back_and_tell_their_place(keys: list[bytes], beginning: bytes, sought: bytes, base: int) -> None:
    keys = [beginning + key for key in keys]
    block = opened(packed(keys, [], base))
    assert block.count == len(keys)
    assert block.keys(0, len(keys)) == keys == [block.key(place) for place in range(len(keys))]
    assert block.keys(len(keys) // 2, len(keys)) == keys[len(keys) // 2 :]
    for key in (sought, beginning + sought, *keys, keys[-1] + b"\0"):
        assert block.place(key) == bisect_left(keys, key)


@given(keys=KEYS, sections=st.lists(st.binary(max_size=20), max_size=4))
def test_sections_come_back(keys: list[bytes], sections: list[bytes]) -> None:
    block = opened(packed(keys, sections))
    assert [bytes(block.section(number)) for number in range(1, len(sections) + 1)] == sections


def read_all(key: bytes, value: bytes) -> None:
    block = Block(key, memoryview(value))
    for number in (1, 2):
        block.section(number)


def test_a_flipped_bit_is_found_wherever_it_is() -> None:
    key, value = packed([b"k1", b"k2"], [pack("<2H", 7, 8), b"text"])
    for bit in range(8 * len(value)):
        altered = bytearray(value)
        altered[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(DamagedVersion):
            read_all(key, altered)


def test_a_flipped_bit_of_a_column_hurts_no_reader_of_others() -> None:
    key, value = packed([b"k1", b"k2"], [b"one", b"two"])
    block = Block(key, memoryview(value.replace(b"two", b"twp")))
    assert bytes(block.section(1)) == b"one"
    with pytest.raises(DamagedVersion):
        block.section(2)


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 1])
def test_a_cut_entry_is_found(cut: int) -> None:
    key, value = packed([b"k1", b"k2"], [b"one"])
    with pytest.raises(DamagedVersion):
        Block(key, memoryview(value[:cut]))


def test_an_entry_under_another_key_is_found() -> None:
    _, value = packed([b"k1", b"k2"], [b"one"])
    with pytest.raises(DamagedVersion):
        Block(b"k2", memoryview(value))
