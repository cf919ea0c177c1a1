"""When a process that died is started again.

Rule: pure. The first death after a healthy life is answered at once; each further one
waits 0.1·2ⁿ s, at most 10 s, times a jitter of 0.5 … 1 so that many do not start in step
(exponential back-off with equal jitter, as AWS's Architecture Blog describes it). A life
of HEALTHY_S clears the record.
"""

import msgspec

FIRST_S = 0.1
LONGEST_S = 10.0
HEALTHY_S = 30.0
GATE_S = 0.3  # the longest for the gate: without it nobody new is served, whatever it dies of


class Restarts(msgspec.Struct, frozen=True):
    """Deaths since the last healthy life."""

    failures: int = 0


def after_death(
    restarts: Restarts, lived_s: float, jitter: float, longest_s: float = LONGEST_S
) -> tuple[Restarts, float]:
    """(record, seconds the process lived, random in [0, 1), the longest wait) → (record, seconds to wait)."""
    failures = 0 if lived_s >= HEALTHY_S else restarts.failures
    if failures == 0:
        return Restarts(1), 0.0
    wait = min(longest_s, FIRST_S * 2.0 ** min(failures - 1, 20))
    return Restarts(failures + 1), wait * (0.5 + jitter / 2)
