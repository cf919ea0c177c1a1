"""A sealed row comes back as it was, or its damage is noticed: a wrong byte is never served."""

from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from havok.errors import DamagedVersion
from havok.keys import KEY_BYTES_MAX, bounded, encode
from havok.rows import CRC_BYTES, RESIDUE, seal, unseal

short = st.binary(min_size=1, max_size=40)
long = st.integers(KEY_BYTES_MAX, 2000).map(lambda size: encode(("string",), ("k" * size,)))
encodings = short | long
bodies = st.binary(max_size=300)


@given(encodings, bodies)
def test_round_trip(encoding: bytes, body: bytes) -> None:
    key, value = seal(encoding, body)
    assert key == bounded(encoding)
    assert unseal(encoding, value) == body


@pytest.mark.parametrize("size", [1, 509, 510, 511, 4096, 64 * 1024])
def test_keys_of_any_length(size: int) -> None:
    encoding = encode(("string",), ("k" * size,))
    assert unseal(encoding, seal(encoding, b'{"a":1}')[1]) == b'{"a":1}'


@given(encodings, bodies)
def test_the_residue_is_one_call_over_key_and_value(encoding: bytes, body: bytes) -> None:
    key, value = seal(encoding, body)
    assert crc32(value, crc32(key)) == RESIDUE


@pytest.mark.parametrize("encoding", [b"JFK\0", encode(("string",), ("k" * 600,))], ids=["short", "hashed"])
def test_any_flipped_bit_is_noticed(encoding: bytes) -> None:
    _, value = seal(encoding, b'{"faa":"JFK","name":"John F Kennedy Intl"}')
    for position in range(len(value) * 8):
        damaged = bytearray(value)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(DamagedVersion):
            unseal(encoding, bytes(damaged))


@given(encodings, bodies, st.data())
def test_any_truncation_is_noticed(encoding: bytes, body: bytes, data: st.DataObject) -> None:
    _, value = seal(encoding, body)
    kept = data.draw(st.integers(0, len(value) - 1))
    # A CRC of 32 bits misses one cut in 2^32; none that these sizes can draw by chance.
    with pytest.raises(DamagedVersion):
        unseal(encoding, value[:kept])


@given(encodings, encodings, bodies)
def test_a_value_under_another_key_is_noticed(encoding: bytes, other: bytes, body: bytes) -> None:
    assume(encoding != other)
    with pytest.raises(DamagedVersion):
        unseal(other, seal(encoding, body)[1])


def test_two_keys_of_one_hash_are_told_apart() -> None:
    """SHA-256 has no known collision, so the row of another key is sealed under this one's hash."""
    wanted, other = (encode(("string",), (letter * 600,)) for letter in "ab")
    value = other + b"{}"
    sealed = value + crc32(value, crc32(bounded(wanted))).to_bytes(CRC_BYTES, "little")
    assert unseal(wanted, sealed) is None


@given(st.binary(max_size=600))
def test_any_bytes_are_a_row_or_damaged(value: bytes) -> None:
    with pytest.raises(DamagedVersion):
        unseal(b"JFK\0", value)
