"""How a row is sealed into an LMDB value, and how a reader knows it is intact.

Rule: a value is `[full key encoding if the key is hashed] + row JSON + CRC-32`, the CRC
(little endian) running over the *key* and then the value. So a row found under another
row's key is as detectable as a flipped bit: the CRC of key, value and appended CRC is
the constant `RESIDUE`, one C call without a slice. LMDB itself checks nothing.
"""

from isal.isal_zlib import crc32  # zlib's, by carry-less multiplication: a batch takes a fifth less

from havok.errors import DamagedVersion
from havok.keys import KEY_BYTES_MAX, bounded

RESIDUE = 0x2144DF1C
CRC_BYTES = 4
ROW_BYTES_MAX = 16 * 1024 * 1024  # a row is one HTTP answer; larger ones belong in files


def seal(encoding: bytes, body: bytes) -> tuple[bytes, bytes]:
    """(full key encoding, row JSON) → (LMDB key, LMDB value)."""
    if len(encoding) <= KEY_BYTES_MAX:
        return encoding, body + crc32(body, crc32(encoding)).to_bytes(CRC_BYTES, "little")
    key = bounded(encoding)
    value = encoding + body
    return key, value + crc32(value, crc32(key)).to_bytes(CRC_BYTES, "little")


def unseal(encoding: bytes, value: bytes) -> bytes | None:
    """The row JSON under a full key encoding; None when another key has the same hash.

    Raises DamagedVersion when the value is not what was sealed.
    """
    key = bounded(encoding)
    if crc32(value, crc32(key)) != RESIDUE:
        raise DamagedVersion("a row failed its checksum")
    if key is encoding:
        return value[:-CRC_BYTES]
    if not value.startswith(encoding):
        return None
    return value[len(encoding) : -CRC_BYTES]
