"""What one service takes of its worker's time, and whether it may take more.

Rule: it is asked where a rate limit is (`engine.limit`), only while the worker is measured, and holds that
limit in itself. It counts; who is limited and how much is decided elsewhere (`engine.shares`), and
a ration is kept by the same algorithm as a rate, GCRA. Time is an argument. The time that requests take is told
by whoever runs them (`engine.http.meter`); until then one counts for the mean cost, and an answer that
is made in turns draws on that first.
"""

from typing import Protocol

from engine.limit import RateLimit
from engine.shares import Ration, Usage
from havok.errors import HavokError, Overloaded

RETRY_S = 1
SHED = "its compartment is overloaded, and this service is over its share; ask again later"


class Account(Protocol):
    """Who is at work now: what passes goes to its `budget`."""

    budget: "Budget | None"

    def settle(self) -> None:
        """What passed so far is the budget's there."""


class Budget:
    __slots__ = (
        "_account", "_burst_ns", "_drawn_ns", "_expected_ns", "_ration", "_tat_ns", "begun", "lost_ns", "offered",
        "rate", "rest_s", "served_ns", "shed", "shed_ns", "sheds", "weight",
    )  # fmt: skip

    def __init__(self) -> None:
        self.weight = 1.0
        self.rate: RateLimit | None = None
        self.sheds = False  # the last request was refused, and not for its rate
        self.begun = False  # the answer to the last one goes on in turns
        self.rest_s = 0.0
        self._account: Account | None = None
        self._ration: Ration | None = None
        self._tat_ns = self._burst_ns = 0  # the first as in `engine.limit`; 0: nothing was let in under this ration
        self._expected_ns = 0.0  # what the last request counted for
        self._drawn_ns = 0.0  # counted, and not taken yet, by answers that go on
        self.offered = self.shed = self.served_ns = self.shed_ns = self.lost_ns = 0

    def open(self, account: Account | None) -> None:
        """Begins anew, without a ration. None: nothing is measured."""
        self._account = account
        self.allot(None)
        self._expected_ns = self._drawn_ns = 0.0
        self.begun = self.sheds = False
        self.offered = self.shed = self.served_ns = self.shed_ns = self.lost_ns = 0

    @property
    def is_measured(self) -> bool:
        return self._account is not None

    def allot(self, ration: Ration | None) -> None:
        """From now on; what was taken before counts on. None: it may take what it wants."""
        self._ration = ration
        if ration is None:
            self._tat_ns = 0  # what it left until then is no part of a later one
        self._burst_ns = ration.burst_ns + int(ration.cost_ns * ration.price) if ration is not None else 0
        self.rest_s = ration.rest_s if ration is not None else 0.0

    def admit(self, now_ns: int) -> bool:
        """Of a measured worker."""
        self.resume()
        rate = self.rate
        if rate is not None and not rate.admit(now_ns):
            assert self._account is not None
            self._account.budget = None  # what is over its rate is not asked of the worker
            return False
        self.offered += 1
        ration = self._ration
        if ration is not None:
            tat = self._tat_ns
            if tat < now_ns:
                self.lost_ns += now_ns - tat if tat else 0
                tat = now_ns
            if tat - now_ns > self._burst_ns:
                self.shed += 1
                self.sheds = True
                if rate is not None:
                    rate.forgive()
                return False
            self._expected_ns = ration.cost_ns
            self._tat_ns = tat + int(ration.cost_ns * ration.price)
        return True

    def resume(self) -> None:
        """What passes from now on is this service's."""
        account = self._account
        assert account is not None
        if account.budget is not None:
            account.settle()
        account.budget = self
        self.sheds = False

    def forgive(self) -> None:
        """The request admitted last is none: it is asked for again."""
        self.offered -= 1
        if self._ration is not None:
            self._tat_ns -= int(self._expected_ns * self._ration.price)
        self._expected_ns = 0.0
        if self.rate is not None:
            self.rate.forgive()

    def charge(self, ns: int) -> None:
        """What the last request took, or a turn of one before."""
        if self.sheds:
            self.shed_ns += ns
            return
        self.served_ns += ns
        ration = self._ration
        if ration is None:
            return
        more = ns - self._expected_ns
        self._expected_ns = 0.0
        goes_on, self.begun = self.begun, False
        if goes_on and more < 0:
            self._drawn_ns -= more
            return
        if more > 0 and self._drawn_ns:
            drawn = min(more, self._drawn_ns)
            self._drawn_ns -= drawn
            more -= drawn
        self._tat_ns += int(more * ration.price)

    def refusal(self, service: str, now_ns: int) -> HavokError:
        """Why the last one was refused."""
        if self.sheds or self.rate is None:
            return overloaded(service)
        return self.rate.refusal(service, now_ns)

    def take(self) -> Usage | None:
        """Since it was last taken; None when there was nothing."""
        if not self.offered and not self.served_ns:
            return None
        usage = Usage(self.weight, self.offered, self.shed, self.served_ns, self.shed_ns, self.lost_ns)
        self.offered = self.shed = self.served_ns = self.shed_ns = self.lost_ns = 0
        return usage


def overloaded(service: str) -> Overloaded:
    """Refused for its share."""
    return Overloaded(f"service {service}: {SHED}", retry_after_s=RETRY_S)
