"""A budget: counted, rationed, charged with what requests took."""

from engine.budget import Budget
from engine.limit import RateLimit
from engine.shares import Ration, Usage
from havok.errors import Overloaded, RateLimited

MS = 1_000_000
RATION = Ration(cost_ns=MS, price=2.0, burst_ns=5 * MS, rest_s=0.0)  # half of the time: one each 2 ms


class Account:
    def __init__(self) -> None:
        self.budget: Budget | None = None
        self.settled = 0

    def settle(self) -> None:
        self.settled += 1


def budget_of(ration: Ration | None = RATION, rate: RateLimit | None = None) -> Budget:
    budget = Budget()
    budget.rate = rate
    budget.open(Account())
    budget.allot(ration)
    return budget


def admitted(budget: Budget, now: int, cost: int = MS, tries: int = 100) -> int:
    count = 0
    for _ in range(tries):
        if budget.admit(now):
            count += 1
        budget.charge(cost if not budget.sheds else 0)
    return count


def test_without_a_ration_it_only_counts() -> None:
    budget = budget_of(None)
    assert admitted(budget, MS) == 100
    assert budget.take() == Usage(1.0, 100, 0, 100 * MS, 0)
    assert budget.take() is None


def test_a_ration_is_a_rate_of_time() -> None:
    budget = budget_of()
    assert admitted(budget, 100 * MS) == 4  # 0, 2, 4 ms and one more
    assert admitted(budget, 101 * MS) == 1
    assert sum(admitted(budget, 101 * MS + at * MS, tries=3) for at in range(1, 101)) == 50
    assert budget.refusal("s", 0).code == Overloaded.code
    usage = budget.take()
    assert usage is not None
    assert usage.offered - usage.shed == 55


def test_it_is_charged_with_what_requests_took() -> None:
    budget = budget_of()
    assert admitted(budget, 100 * MS, cost=3 * MS) == 2, "three times the mean"
    assert admitted(budget_of(), 100 * MS, cost=MS // 4) == 15


def test_an_answer_in_turns_draws_on_what_it_counted_for() -> None:
    budget = budget_of()
    assert budget.admit(100 * MS)
    budget.begun = True
    budget.charge(MS // 4)
    for _ in range(3):
        budget.resume()
        budget.charge(MS // 4)
    assert admitted(budget, 100 * MS) == 3, "four quarters of one mean"
    budget = budget_of()
    assert budget.admit(100 * MS)
    budget.begun = True
    budget.charge(MS // 4)
    budget.resume()
    budget.charge(10 * MS)
    assert admitted(budget, 100 * MS) == 0


def test_the_rate_limit_comes_first_and_is_not_spent_on_what_is_shed() -> None:
    rate = RateLimit(1, 10)
    budget = budget_of(rate=rate)
    assert admitted(budget, 100 * MS) == 4
    assert budget.sheds
    usage = budget.take()
    assert usage is not None and usage.shed == 96  # noqa: PT018
    budget.allot(None)
    assert admitted(budget, 100 * MS) == 6, "of the burst of ten, four were spent"
    assert not budget.sheds
    assert budget.refusal("s", 100 * MS).code == RateLimited.code
    usage = budget.take()
    assert usage is not None and usage.offered == 6, "what is over its rate is not asked of the worker"  # noqa: PT018


def test_a_request_that_was_none_is_forgiven() -> None:
    rate = RateLimit(1, 1)
    budget = budget_of(rate=rate)
    for _ in range(10):
        assert budget.admit(100 * MS)
        budget.forgive()
    assert budget.take() is None


def test_who_is_asked_next_settles_what_passed() -> None:
    first, second, account = Budget(), Budget(), Account()
    for budget in (first, second):
        budget.open(account)
    assert first.admit(MS)
    assert account.settled == 0
    assert second.admit(MS)
    assert (account.settled, account.budget) == (1, second)
