"""The supervisor's beat: the newest number for followers, and a look at who has fallen silent.

Rule: nobody is judged by his silence while we did not listen ourselves: whoever is about to judge
wakes us first.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from compartments.announcer import Announcer
from compartments.facts.ledger import Ledger
from compartments.processes.fleet import Fleet
from havok.messages import Heartbeat

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.05  # a bulletin and three heartbeats in a row lost, at 30 %: 1 in 100, and still in time
LATE_S = 0.2  # a beat as late means that reports were not heard either


class Heart:
    """`send(heartbeat)` broadcasts it."""

    def __init__(self, fleet: Fleet, ledger: Ledger, announcer: Announcer, send: Callable[[Heartbeat], None]) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._announcer = announcer
        self._send = send
        self._awake_s = monotonic()

    async def run(self) -> None:
        while True:
            try:
                self.wake()
                self._send(self._ledger.heartbeat())
                self._fleet.check_hung()
                self._announcer.tell_peers(self._fleet.workers())
            except Exception:  # the next one may be well
                log.exception("a beat failed")
            await asyncio.sleep(HEARTBEAT_S)

    def wake(self) -> None:
        """Were we held up, and heard nobody? Then nobody was silent."""
        now = monotonic()
        late_s = now - self._awake_s - HEARTBEAT_S
        self._awake_s = now
        if late_s > LATE_S:
            log.warning("the supervisor was held up for %.1f s", late_s)
            self._fleet.excuse(late_s)
