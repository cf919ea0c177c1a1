"""The rate limit of one route in one worker: GCRA.

Rule: the generic cell rate algorithm (ITU-T I.371, Annex A) keeps one number, the
theoretical arrival time `tat` in ns. A request at `now` conforms when
`max(tat, now) - now <= burst_ns`, and then `tat = max(tat, now) + interval_ns`, with
interval = 1/rate and burst_ns = (burst - 1) · interval. Time is an argument.
"""


class RateLimit:
    __slots__ = ("_burst_ns", "_interval_ns", "_tat_ns")

    def __init__(self, rps: float, burst: int) -> None:
        """`rps` > 0 requests a second, `burst` >= 1 at once."""
        self._interval_ns = max(1, round(1e9 / rps))
        self._burst_ns = (burst - 1) * self._interval_ns
        self._tat_ns = 0

    def same_as(self, other: "RateLimit") -> bool:
        """The same rate and burst, whatever was admitted so far."""
        return (self._interval_ns, self._burst_ns) == (other._interval_ns, other._burst_ns)

    def admit(self, now_ns: int) -> bool:
        tat = self._tat_ns
        if tat < now_ns:
            tat = now_ns
        if tat - now_ns > self._burst_ns:
            return False
        self._tat_ns = tat + self._interval_ns
        return True

    def retry_after_s(self, now_ns: int) -> int:
        """Whole seconds until a request would conform again, at least 1."""
        return max(1, -(-(self._tat_ns - self._burst_ns - now_ns) // 1_000_000_000))
