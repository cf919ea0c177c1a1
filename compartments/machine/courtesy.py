"""When a compartment leaves a core it shares to a higher one altogether.

Rule: pure. Weights say how much of a core each gets in the long run, not how soon: a worker that was woken waits
until the kernel's next tick (up to 4 ms) while another of less weight runs, in one wake-up of fifty. One in an
idle group is left for it at once. So whoever shares cores with a higher compartment gives way, as long as that
leaves each of his threads enough to live on: `Courtesy.gives_way(tasks, now_ns)` takes what each ran, and waited
for a core that others had (/proc/TID/schedstat), and whether it waits now.

    share = Δran / (Δran + Δwaited)       over at least WINDOW; one below SHARE_MIN starves

It is judged by what it waited for, not by what it ran: who asks for little gets little. A wait is told by the
kernel when it is over; one that is not yet is all the time that its thread could have run and did not. When
one starves all have their weight back at once, for FAIR, and nothing is judged; then it is tried again. Who starves at
once again has it for twice as long, up to FAIR_MAX: each try may cost its callers a third of a second.
"""

from collections.abc import Mapping, Sequence

import msgspec

from havok.settings import Priority

WINDOW_NS = 300_000_000  # far below the second of silence after which a worker is taken to hang
WAITED_MIN = 0.5  # of a core, in the window: less is no hunger
SHARE_MIN = 0.05  # less than what the weight of a low compartment beside a busy high one gives: a tenth
FAIR_NS = 10_000_000_000
FAIR_NS_MAX = 320_000_000_000

_RANK: dict[Priority, int] = {"high": 0, "medium": 1, "low": 2}


class Task(msgspec.Struct, frozen=True):
    """A thread: ns that it ran and waited since it was started, and whether it would run now."""

    ran_ns: int
    waited_ns: int
    runnable: bool


class _Window(msgspec.Struct):
    """What a thread got since the window began; `waiting_ns`: of a wait that is not over."""

    last: Task
    ran_ns: int = 0
    waited_ns: int = 0
    waiting_ns: int = 0


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
        self._windows: dict[int, _Window] = {}
        self._begun_ns = self._looked_ns = 0  # the window, and the last look at it
        self._fair_until_ns: int | None = None
        self._fair_ns = FAIR_NS
        self._tried_ns = 0  # since when it gives way

    def gives_way(self, tasks: Mapping[int, Task], now_ns: int) -> bool:
        """By thread ids. One that is new is judged by what it gets from now on."""
        if self._fair_until_ns is not None:
            if now_ns < self._fair_until_ns:
                return False
            self._fair_until_ns = None
            self._windows = {}
            self._tried_ns = now_ns
        if not self._windows:
            self._begun_ns = now_ns
        elif now_ns - self._tried_ns > self._fair_ns:
            self._fair_ns = FAIR_NS  # it lived on what was left
        past_ns = now_ns - self._looked_ns
        self._looked_ns = now_ns
        self._windows = {number: self._seen(number, task, past_ns) for number, task in tasks.items()}
        window_ns = now_ns - self._begun_ns
        if window_ns >= WINDOW_NS:
            if any(_starves(window, window_ns) for window in self._windows.values()):
                self._fair_until_ns = now_ns + self._fair_ns
                self._fair_ns = min(2 * self._fair_ns, FAIR_NS_MAX)
            self._windows = {number: _Window(window.last) for number, window in self._windows.items()}
            self._begun_ns = now_ns
        return self._fair_until_ns is None

    def _seen(self, number: int, task: Task, past_ns: int) -> _Window:
        window = self._windows.get(number)
        if window is None or task.ran_ns < window.last.ran_ns:
            return _Window(task)
        ran, waited = task.ran_ns - window.last.ran_ns, task.waited_ns - window.last.waited_ns
        if ran or waited:
            window.waiting_ns = 0  # it is told now
        elif task.runnable and window.last.runnable:
            window.waiting_ns += past_ns
        window.ran_ns += ran
        window.waited_ns += waited
        window.last = task
        return window


def _starves(window: _Window, window_ns: int) -> bool:
    waited_ns = min(window.waited_ns + window.waiting_ns, window_ns)
    return waited_ns >= WAITED_MIN * window_ns and window.ran_ns < SHARE_MIN * (window.ran_ns + waited_ns)
