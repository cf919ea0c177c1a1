"""What became of a worker's analytical queries: counted for the status, and a line for the log.

Rule: the log says which service, why, and which limit; the same line of the same service
at most once a second, however fast callers repeat what fails.
"""

import logging
from typing import Literal

from havok.errors import HavokError, OutOfMemory, QueryTimeout, SlowReader

log = logging.getLogger(__name__)

Outcome = Literal["answered", "failed", "timeouts", "out_of_memory", "slow_readers", "abandoned", "crashes"]
SAY_AGAIN_S = 1.0
SAID_MAX = 1024  # services times reasons; then they are forgotten


class Tally:
    def __init__(self) -> None:
        self.counts: dict[Outcome, int] = {
            "answered": 0,
            "failed": 0,  # for what the caller asked
            "timeouts": 0,
            "out_of_memory": 0,
            "slow_readers": 0,
            "abandoned": 0,  # by callers who went away
            "crashes": 0,
        }
        self._said_s: dict[tuple[str, Outcome], float] = {}

    def note(self, service: str, error: HavokError | None, now_s: float, *, abandoned: bool = False) -> None:
        """The end of a query; `error` None: its answer is whole."""
        outcome = "abandoned" if abandoned else _outcome(error)
        self.counts[outcome] += 1
        if error is not None and outcome in ("timeouts", "out_of_memory", "slow_readers"):
            self.say(service, outcome, error.detail, now_s)

    def crash(self, service: str, reason: str, now_s: float) -> None:
        """An executor died by itself; `service`: of the query it had."""
        self.counts["crashes"] += 1
        self.say(service, "crashes", reason, now_s)

    def say(self, service: str, outcome: Outcome, reason: str, now_s: float) -> None:
        said_s = self._said_s.get((service, outcome))
        if said_s is not None and now_s - said_s < SAY_AGAIN_S:
            return
        if len(self._said_s) >= SAID_MAX:
            self._said_s.clear()
        self._said_s[service, outcome] = now_s
        log.warning("service %s: %s", service, reason)


def _outcome(error: HavokError | None) -> Outcome:
    if error is None:
        return "answered"
    if isinstance(error, QueryTimeout):
        return "timeouts"
    if isinstance(error, OutOfMemory):
        return "out_of_memory"
    return "slow_readers" if isinstance(error, SlowReader) else "failed"
