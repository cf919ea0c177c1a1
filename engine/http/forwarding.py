"""Requests that go to another compartment alone, while their connection stays.

Rule: which do is `engine.http.passage`'s to decide; this asks it, sends them on their way and
counts. To where, and by what, is up to `ask`, which another floor gives.
"""

from collections.abc import Callable
from functools import partial

from engine.http.head import Head
from engine.http.passage import UNRANKED, Habit
from engine.http.problems import Problems
from engine.http.relay import Relay
from engine.http.route import Elsewhere

Ask = Callable[[Relay], None]


class Forwarding:
    """`ask(relay)` brings a relay on its way, or fails it; None: nothing is forwarded.

    `rank` is that of the priority of what is served here.
    """

    def __init__(self, problems: Problems, ask: Ask | None) -> None:
        self._problems = problems
        self._ask = ask
        self.rank = UNRANKED
        self.count = 0

    def takes_along(self, habit: Habit, target: Elsewhere, used_ns: int, now_ns: int) -> bool:
        """Whether the connection goes with its request; see `Habit.takes_along`."""
        return self._ask is None or habit.takes_along(self.rank, target.rank, used_ns, now_ns)

    def begin(self, request: bytes, head: Head, target: Elsewhere, now_ns: int, *, close: bool) -> Relay:
        """`request`: all of it, as it came. `close`: so the client asked."""
        assert self._ask is not None, "there is no way to forward"
        on_failure = partial(self._problems.failure, head, close=close)
        relay = Relay(request, head, target, on_failure, now_ns)
        self.count += 1
        self._ask(relay)
        return relay
