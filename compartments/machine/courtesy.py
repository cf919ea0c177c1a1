"""When a compartment leaves a core it shares to a higher one altogether.

Rule: pure. Weights say how much of a core each gets in the long run, not how soon: a worker that was woken waits
until the kernel's next tick (up to 4 ms) while another of less weight runs, in one wake-up of fifty. One in an
idle group is left for it at once. So whoever shares cores with a higher compartment gives way, as long as that
leaves him enough to live on: `Courtesy.gives_way(ran_ns, waited_ns, now_ns)` takes what its workers ran, and
waited for a core that others had (/proc/PID/schedstat), since they started.

    share = Δran / (Δran + Δwaited)       over at least WINDOW; below SHARE_MIN it starves

It is judged by what it waited for, not by what it ran: who asks for little gets little. Who starves has his weight
back at once, for FAIR; then it is tried again.
"""

from collections.abc import Mapping, Sequence

from havok.settings import Priority

WINDOW_NS = 300_000_000  # far below the second of silence after which a worker is taken to hang
WAITED_MIN = 0.5  # of a core, in the window: less is no hunger
SHARE_MIN = 0.1
FAIR_NS = 10_000_000_000

_RANK: dict[Priority, int] = {"high": 0, "medium": 1, "low": 2}


def sharers(cpus: Mapping[str, Sequence[int]], priorities: Mapping[str, Priority]) -> frozenset[str]:
    """Compartments that have a processor in common with one of a higher priority. `cpus`: of each."""
    return frozenset(
        name
        for name, own in cpus.items()
        if any(
            _RANK[priorities[other]] < _RANK[priorities[name]] and not set(own).isdisjoint(theirs)
            for other, theirs in cpus.items()
        )
    )


class Courtesy:
    """Of one compartment."""

    def __init__(self) -> None:
        self._seen: tuple[int, int, int] | None = None  # ran, waited, when
        self._fair_from_ns: int | None = None

    def gives_way(self, ran_ns: int, waited_ns: int, now_ns: int) -> bool:
        """Sums over its workers; smaller ones than before are of other workers, and nothing is judged by them."""
        if self._fair_from_ns is not None and now_ns - self._fair_from_ns >= FAIR_NS:
            self._fair_from_ns = self._seen = None
        if self._seen is None or ran_ns < self._seen[0] or waited_ns < self._seen[1]:
            self._seen = ran_ns, waited_ns, now_ns
        past_ns = now_ns - self._seen[2]
        if past_ns >= WINDOW_NS:
            ran, waited = ran_ns - self._seen[0], waited_ns - self._seen[1]
            if waited >= WAITED_MIN * past_ns and ran < SHARE_MIN * (ran + waited):
                self._fair_from_ns = now_ns
            self._seen = ran_ns, waited_ns, now_ns
        return self._fair_from_ns is None
