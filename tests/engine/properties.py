"""The properties that random cases try to break, at any size: few in CI, many in tests/endurance.

Rule: whatever fails can be repeated alone, HAVOK_SEED=… HAVOK_ORACLE=… pytest the test. Of `hold`
a batch of examples has a seed, printed before it runs; hypothesis draws them, simple ones more
often, and shrinks what fails. Of `sweep` every case has one, printed if it fails; it is drawn
evenly and left as it is, and the sweep goes on.
"""

import os
import random
import traceback
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
FAILED_MAX = 20  # of a sweep: more say nothing new
_DRAWN = st.randoms(use_true_random=False)

Check = Callable[[Draws], None]


def wanted(count: int) -> tuple[int, int]:
    """(how many, the seed): `count` and any, unless the environment says otherwise."""
    return int(os.environ.get("HAVOK_ORACLE") or count), int(os.environ.get("HAVOK_SEED") or random.randrange(1 << 32))


def hold(check: Check, examples: int, first_seed: int) -> None:
    """`check` of so many examples."""

    def checked(source: random.Random) -> None:
        draws = Draws(source)
        try:
            check(draws)
        finally:
            note("\n".join(draws.told))

    for number, start in enumerate(range(0, examples, BATCH)):
        print(f"HAVOK_SEED={first_seed + number}")
        run = settings(
            max_examples=min(BATCH, examples - start),
            database=None,
            deadline=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(given(_DRAWN)(checked))
        seed(first_seed + number)(run)()


def sweep(check: Check, cases: int, first_seed: int) -> None:
    """`check` of so many cases, each by the next seed."""
    failed = []
    for case in range(first_seed, first_seed + cases):
        draws = Draws(random.Random(case))
        try:
            check(draws)
        except Exception:  # whatever it is, it is told with its seed
            failed.append(case)
            print(f"HAVOK_SEED={case} HAVOK_ORACLE=1", *draws.told, traceback.format_exc(), sep="\n", flush=True)
            if len(failed) == FAILED_MAX:
                break
    assert failed == [], f"of {cases} from HAVOK_SEED={first_seed}"


class Queries:
    """Queries over tables, all of them drawn; `went` counts how they were answered."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.went: Counter[str] = Counter()

    def check(self, draws: Draws) -> None:
        main = tables.table(draws, "m", "m")
        other = tables.table(draws, "o", "o", main)
        draws.tell(f"{main}\n{other}")
        self._oracle.load(main, other)
        maker = Maker(draws, main, other)
        for _ in range(QUERIES_PER_EXAMPLE - draws.below(QUERIES_PER_EXAMPLE)):
            asked = maker.query()
            self.went[self._oracle.compare(asked.text, ordered=asked.ordered)] += 1

    def hold(self, queries: int, first_seed: int) -> None:
        while self.went.total() < queries:
            hold(self.check, max(1, (queries - self.went.total()) // QUERIES_PER_EXAMPLE), first_seed)
            first_seed += 1 + queries // (QUERIES_PER_EXAMPLE * BATCH)
        print(f"{self.went.total()} queries: {dict(self.went)}")
