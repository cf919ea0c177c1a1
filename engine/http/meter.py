"""Whose time passes: the loop's wall time, by service, while somebody wants to know.

Rule: a lap is what one descriptor, or one turn that was put off, takes from the end of the one before it: its
reading, answering and writing, and a part of the poll. It goes to the budget that was asked last in it;
what asks nobody is nobody's. Two requests in one lap are told apart when the second is asked for.
"""

from collections.abc import Callable
from time import monotonic_ns

from engine.budget import Budget


class Meter:
    __slots__ = ("budget", "since_ns")

    def __init__(self) -> None:
        self.budget: Budget | None = None
        self.since_ns = 0

    def begin(self, now_ns: int) -> None:
        """Of a first lap."""
        self.budget = None
        self.since_ns = now_ns

    def lap(self, callback: Callable[[], None]) -> None:
        callback()
        if self.budget is None:
            self.since_ns = monotonic_ns()
        else:
            self.settle()
            self.budget = None

    def settle(self) -> None:
        now_ns, budget = monotonic_ns(), self.budget
        assert budget is not None
        budget.charge(now_ns - self.since_ns)
        self.since_ns = now_ns

    def late(self, callback: Callable[[], None]) -> None:
        """Outside a tick of the reactor."""
        self.begin(monotonic_ns())
        self.lap(callback)

    @property
    def rest_s(self) -> float:
        """Of a connection that is refused again and again."""
        return self.budget.rest_s if self.budget is not None else 0.0

    @property
    def sheds(self) -> bool:
        """The request in hand was refused for its service's share."""
        return self.budget is not None and self.budget.sheds
