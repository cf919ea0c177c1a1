"""Runs by their seeds.

Rule: HAVOK_SEED, where it is set, is the one seed that is run; else they begin where the
caller says, or anywhere.
"""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulation.world import World

Scenario = Callable[[World], None]


def wanted(count: int) -> Iterable[int]:
    chosen = os.environ.get("HAVOK_SEED")
    if chosen is not None:
        return (int(chosen),)
    first = random.SystemRandom().randrange(2**32)
    print(f"seeds {first} to {first + count - 1}")
    return range(first, first + count)


@contextmanager
def directory() -> Iterator[Path]:
    """A short path: sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="hv", dir="/tmp") as path:
        yield Path(path)


class Runs:
    """What happened in many runs: a law that was never put to the test proves nothing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lags_ns: list[int] = []
        self.digests: list[str] = []

    def run(self, scenario: Scenario, seeds: Iterable[int]) -> "Runs":
        """Raises Broken at the first seed that breaks a law."""
        with directory() as path:
            for seed in seeds:
                world = World(seed, path)
                world.run(scenario)
                self.counts["runs"] += 1
                self.counts["events"] += world.loop.events
                self.counts.update(world.laws.checked)
                self.counts.update(world.moves)
                for client in world.clients:
                    self.counts.update(client.counts)
                self.lags_ns += world.laws.lags_ns
                self.digests.append(world.trace.digest)
        return self

    def lag_ms(self, share: float) -> float:
        """From a change of the facts until a follower acts on it."""
        ordered = sorted(self.lags_ns)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6
