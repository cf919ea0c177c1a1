"""Who of several processes of one kind is given up when they are too many.

Rule: pure. Those that serve stay, the oldest of them first. Nobody is given up on a guess:
while one has not yet said how it is, all stay. A supervisor that adopted two does not know
whether one of them is on its way out already, and the other there to replace it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Present(Protocol):
    """As `compartments.processes.member.Member` is."""

    @property
    def was_ready(self) -> bool: ...

    @property
    def silent(self) -> bool: ...

    @property
    def report(self) -> object | None: ...


P = TypeVar("P", bound=Present)


def surplus(present: Sequence[P], wanted: int) -> Sequence[P]:
    """Of processes that are not on their way out, oldest first: those that are to go."""
    if len(present) <= wanted or any(process.report is None and not process.silent for process in present):
        return ()
    return sorted(present, key=lambda process: not process.was_ready or process.silent)[wanted:]
