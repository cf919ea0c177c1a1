"""Whether a request for another compartment's service takes its connection along, or goes there alone.

Rule: pure; priorities, what the connection was used for, and the time in, yes or no out.

A connection lives in one worker, and its requests wait for that worker's loop. Behind a load
balancer, whose pool sends every service over the same sockets, it asks now this compartment,
now that one. There are two ways: *hand over* moves the connection (some 40 to 50 µs of CPU, both
sides, once), *forward* sends the one request and relays its answer (some 25 µs more than an answer
at home, each time; `python -m bench.mixed`). Where it rests matters more than either: had it come
to rest at a low-priority worker, its next high-priority request would wait for that one's loop.

| the service's compartment has | |
|---|---|
| a higher priority | hand over: such a request must wait for no other worker, neither going nor coming |
| a lower one | forward, at once, for the next request may be one for us; hand over when none was for AWAY_NS |
| the same | hand over; forward when it went to and fro lately (HOPS_TO_STAY), up to IN_A_ROW_MAX in a row |

So a connection that alternates rests at the highest priority it uses, and one whose use has
changed follows it. How often a connection went to and fro travels with it (`hops`) and halves
every HALVED_NS. A line, on which another worker forwards, is never forwarded from: two workers
that for a moment disagree about a service would send a request to and fro for ever.
"""

from havok.settings import Priority

RANKS: dict[Priority, int] = {"low": 0, "medium": 1, "high": 2}
UNRANKED = -1  # of a worker that serves nothing: everything else is above it
HOPS_TO_STAY = 2  # there and back again: once may be a change of use
IN_A_ROW_MAX = 4  # forwarded of equals before following them: they cost as much as going there and back
AWAY_NS = 60_000_000_000  # as long as an idle connection lives: by then it may as well be another caller's
HALVED_NS = 60_000_000_000
HOPS_MAX = 200  # counted; more say nothing new, and the number travels in a byte
LINE = 255  # instead of a number of hops: the connection is a line of another worker's


class Habit:
    """What one connection was used for lately. Times are monotonic nanoseconds."""

    __slots__ = ("_hopped_ns", "_hops", "_in_a_row", "_own_ns", "_rested_ns")

    def __init__(self, hops: int, now_ns: int) -> None:
        """It has just come, for a service of ours, after so many hops."""
        self._hops = hops
        self._hopped_ns = self._own_ns = now_ns
        self._rested_ns = -1
        self._in_a_row = 0  # requests that were forwarded since one was ours

    def takes_along(self, own: int, its: int, used_ns: int, now_ns: int) -> bool:
        """Whether the connection is to be handed over with a request; `own`, `its`: ranks of compartments.

        `used_ns`: when the connection did something last. What it was forwarding is known here; else it was ours.
        """
        if used_ns != self._rested_ns:
            self._own_ns = used_ns
            self._in_a_row = 0
        if its > own or self._hops == LINE:
            return True
        if its < own:
            return now_ns - self._own_ns >= AWAY_NS
        return self.hops(now_ns) < HOPS_TO_STAY or self._in_a_row >= IN_A_ROW_MAX

    def forwarded(self, now_ns: int) -> None:
        """The answer to a request that went alone is through; the connection rests since then."""
        self._in_a_row += 1
        self._rested_ns = now_ns

    def hops(self, now_ns: int) -> int:
        """Of late."""
        if self._hops == LINE:
            return LINE
        return self._hops >> min(8, (now_ns - self._hopped_ns) // HALVED_NS)

    def after_hop(self, now_ns: int) -> int:
        """What travels with it to another compartment."""
        hops = self.hops(now_ns)
        return hops if hops == LINE else min(hops + 1, HOPS_MAX)
