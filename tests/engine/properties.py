"""The properties that hypothesis tries to break, at any size: few examples in CI, many in tests/endurance.

Rule: a batch of examples has a seed of its own, printed before it runs, so that any of them is
repeated alone: HAVOK_SEED=… HAVOK_ORACLE=… pytest the test.
"""

import os
import random
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from tests.engine import tables
from tests.engine.draws import Draws
from tests.engine.oracle import Oracle
from tests.engine.query_maker import Maker

QUERIES_PER_EXAMPLE = 10  # a pair of tables takes as long to load
BATCH = 100  # examples: hypothesis remembers every draw of a batch
_DRAWN = st.randoms(use_true_random=False)


def wanted(count: int) -> tuple[int, int]:
    """(how many queries, the seed): `count` and any, unless the environment says otherwise."""
    return int(os.environ.get("HAVOK_ORACLE") or count), int(os.environ.get("HAVOK_SEED") or random.randrange(1 << 32))


def hold(check: Callable[[Draws], None], examples: int, first_seed: int) -> None:
    """`check` of so many examples."""
    for number, start in enumerate(range(0, examples, BATCH)):
        print(f"HAVOK_SEED={first_seed + number}")
        run = settings(
            max_examples=min(BATCH, examples - start),
            database=None,
            deadline=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(given(_DRAWN)(lambda source: check(Draws(source))))
        seed(first_seed + number)(run)()


def queries_are_answered_alike(oracle: Oracle, queries: int, first_seed: int, went: Counter[str]) -> None:
    """`went` counts how they were answered."""

    def check(draws: Draws) -> None:
        main = tables.table(draws, "m", "m")
        other = tables.table(draws, "o", "o", main)
        note(f"{main}\n{other}")
        oracle.load(main, other)
        maker = Maker(draws, main, other)
        for _ in range(QUERIES_PER_EXAMPLE - draws.below(QUERIES_PER_EXAMPLE)):
            asked = maker.query()
            went[oracle.compare(asked.text, ordered=asked.ordered)] += 1

    while went.total() < queries:
        hold(check, max(1, (queries - went.total()) // QUERIES_PER_EXAMPLE), first_seed)
        first_seed += 1 + queries // (QUERIES_PER_EXAMPLE * BATCH)
    print(f"{went.total()} queries: {dict(went)}")
