"""What happened, to be read by a person whose run failed.

Rule: lines are made of their parts only when somebody reads them.
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b

from tests.simulation.loop import BORN_NS

KEPT = 20_000
SHOWN = 60


class Broken(AssertionError):
    """A law does not hold, or real code failed."""


class Trace:
    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.broken: str | None = None  # what went wrong first
        self._lines: deque[tuple[int, str, str, tuple[object, ...]]] = deque(maxlen=KEPT)

    def say(self, who: str, what: str, *parts: object) -> None:
        """`what` is a format for `parts`."""
        self._lines.append((self._now_ns(), who, what, parts))

    def fail(self, what: str) -> None:
        """Ends the run, even where real code takes the exception for its own."""
        self.broken = self.broken or what
        raise Broken(what)

    def lines(self, count: int = SHOWN) -> list[str]:
        found = list(self._lines)[-count:]
        return [f"{(at - BORN_NS) / 1e6:10.3f} ms  {who:12} {what.format(*parts)}" for at, who, what, parts in found]

    @property
    def digest(self) -> str:
        """Equal where the same happened."""
        return blake2b("\n".join(self.lines(KEPT)).encode(), digest_size=8).hexdigest()
