"""The rate limit of one route in one worker: GCRA.

Rule: the generic cell rate algorithm (ITU-T I.371, Annex A) keeps one number, the
theoretical arrival time `tat` in ns. A request at `now` conforms when
`max(tat, now) - now <= burst_ns`, and then `tat = max(tat, now) + interval_ns`, with
interval = 1/rate and burst_ns = (burst - 1) · interval. Time is an argument. Of a limit that
several workers share, each has an equal part, whatever their number is at the moment.
"""

from havok.errors import RateLimited


class RateLimit:
    __slots__ = ("_burst_ns", "_interval_ns", "_tat_ns", "burst", "rps")

    sheds = False  # see `engine.budget`

    def __init__(self, rps: float, burst: int) -> None:
        """`rps` > 0 requests a second, `burst` >= 1 at once, of all workers together."""
        self.rps = rps
        self.burst = burst
        self._tat_ns = 0
        self.share(1)

    def share(self, workers: int) -> None:
        """From now on so many have an equal part of it each."""
        self._interval_ns = max(1, round(1e9 * workers / self.rps))
        self._burst_ns = (max(1, self.burst // workers) - 1) * self._interval_ns

    def same_as(self, other: "RateLimit") -> bool:
        """The same rate and burst, whatever was admitted so far."""
        return (self.rps, self.burst) == (other.rps, other.burst)

    def admit(self, now_ns: int) -> bool:
        tat = self._tat_ns
        if tat < now_ns:
            tat = now_ns
        if tat - now_ns > self._burst_ns:
            return False
        self._tat_ns = tat + self._interval_ns
        return True

    def forgive(self) -> None:
        """The request admitted last is none: it is asked for again."""
        self._tat_ns -= self._interval_ns

    def refusal(self, service: str, now_ns: int) -> RateLimited:
        return RateLimited(f"service {service} is over its rate limit", retry_after_s=self.retry_after_s(now_ns))

    def retry_after_s(self, now_ns: int) -> int:
        """Whole seconds until a request would conform again, at least 1."""
        return max(1, -(-(self._tat_ns - self._burst_ns - now_ns) // 1_000_000_000))
