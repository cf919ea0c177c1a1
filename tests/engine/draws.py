"""Random decisions that shrink, from a `random.Random` or from hypothesis's `st.randoms`.

Rule: each is one number below another, and 0 is always the simplest: the first of a choice,
the fewest of some, no for a chance. So what hypothesis shrinks becomes what a person would
have written, and a plain seed draws as well.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Draws:
    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.below = source.randrange
        self.told: list[str] = []  # what was made of them, for whoever reads of a failure

    def tell(self, made: object) -> None:
        self.told.append(str(made))

    def chance(self, percent: int) -> bool:
        return self.below(100) >= 100 - percent

    def choice(self, of: Sequence[Item]) -> Item:
        return of[self.below(len(of))] if len(of) > 1 else of[0]

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def some(self, of: Sequence[Item], counts: Sequence[int]) -> list[Item]:
        """As many different items as one of `counts` says, if there are."""
        left = list(of)
        return [left.pop(self.below(len(left))) for _ in range(min(self.choice(counts), len(left)))]
