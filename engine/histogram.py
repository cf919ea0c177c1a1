"""Latencies of one route, cheap enough to count every request.

Rule: below about a millisecond buckets are linear, 1,024 ns wide, because that is where
answers fall and where a step would hide; above, 16 buckets to each power of two (at most
6 % wide), up to 2^40 ns (18 minutes).
"""

from itertools import chain
from operator import mul

LINEAR = 1024  # buckets of 2^10 ns: up to 1.05 ms
_SHIFT = 10
_SUB_BITS = 4
_LOG_START = 20  # LINEAR << _SHIFT == 2^20
_LOG_END = 40
_MIDDLES = [(slot << _SHIFT) + (1 << (_SHIFT - 1)) for slot in range(LINEAR)] + [
    (1 << power) + ((2 * fraction + 1) << (power - _SUB_BITS - 1))
    for power in range(_LOG_START, _LOG_END)
    for fraction in range(1 << _SUB_BITS)
]


class Histogram:
    """`linear` is open to the hot path: `linear[ns >> 10] += 1` when that is < LINEAR."""

    __slots__ = ("linear", "logarithmic", "turns_ns")

    def __init__(self) -> None:
        self.linear = [0] * LINEAR
        self.logarithmic = [0] * ((_LOG_END - _LOG_START) << _SUB_BITS)
        self.turns_ns = 0  # of answers that are made in turns: what those took, and not what was waited between

    def record(self, ns: int) -> None:
        """Counts one latency in nanoseconds, whatever its size."""
        slot = ns >> _SHIFT
        if slot < LINEAR:
            self.linear[slot] += 1
            return
        power = min(ns.bit_length() - 1, _LOG_END - 1)
        fraction = (ns >> (power - _SUB_BITS)) & ((1 << _SUB_BITS) - 1) if ns < 1 << _LOG_END else (1 << _SUB_BITS) - 1
        self.logarithmic[((power - _LOG_START) << _SUB_BITS) + fraction] += 1

    @property
    def count(self) -> int:
        return sum(self.linear) + sum(self.logarithmic)

    @property
    def total_ns(self) -> int:
        """All latencies together, each taken for the middle of its bucket."""
        return sum(map(mul, chain(self.linear, self.logarithmic), _MIDDLES))

    def quantile_ns(self, quantile: float) -> int:
        """Upper edge, in ns, of the bucket the quantile (0 … 1) falls in; 0 when empty."""
        wanted = quantile * self.count
        seen = 0
        if wanted == 0 and self.count == 0:
            return 0
        for slot, count in enumerate(self.linear):
            seen += count
            if count and seen >= wanted:
                return (slot + 1) << _SHIFT
        for slot, count in enumerate(self.logarithmic):
            seen += count
            if count and seen >= wanted:
                power, fraction = divmod(slot, 1 << _SUB_BITS)
                return (1 << (power + _LOG_START)) + ((fraction + 1) << (power + _LOG_START - _SUB_BITS))
        return 1 << _LOG_END
