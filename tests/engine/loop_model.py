"""A worker's loop on a virtual clock: requests in ticks, real budgets, a window every 100 ms.

Rule: time passes only by what is served, refused or waited for. What is ready is taken first come, first
served, as the reactor does, up to so many at once.
"""

import heapq
import random
from collections import Counter, defaultdict

from engine.budget import Budget
from engine.http.shedding import SHEDS_MAX, spread
from engine.shares import Flow, observe

WINDOW_NS = 100_000_000
REFUSAL_NS = 8_000
ROUND_TRIP_NS = 50_000
TICK_EVENTS = 64
SECOND = 1_000_000_000


class Meterless:
    """An account that nobody reads: costs are the model's."""

    budget: Budget | None = None

    def settle(self) -> None:
        return


class Service:
    """`rate`: asked so often a second whatever happens; `callers`: each asks again when it was answered."""

    def __init__(
        self, cost_ns: int, *, weight: float = 1.0, rate: float = 0.0, callers: int = 0, spread: float = 0.0
    ) -> None:
        self.cost_ns = cost_ns
        self.weight = weight
        self.rate = rate
        self.callers = callers
        self.spread = spread  # 1.0: costs are exponential


class Loop:
    def __init__(self, services: dict[str, Service], seed: int, capacity: float = 0.875, late_ns: int = 0) -> None:
        """`late_ns`: how long it waits for its core, in the mean, each time that it had nothing to do."""
        self.late_ns = late_ns
        self.services = services
        self.capacity = capacity
        self.dice = random.Random(seed)
        self.now = SECOND
        self.budgets = {name: Budget() for name in services}
        for name, budget in self.budgets.items():
            budget.open(Meterless())
            budget.weight = services[name].weight
        self.flows: dict[str, Flow] = {}
        self.limited: list[frozenset[str]] = []  # by window
        self.served_ns: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self.shed_ns = 0
        self.waits_ns: dict[str, list[int]] = defaultdict(list)
        self._coming: list[
            tuple[int, int, str, int]
        ] = []  # when, a number, service, refusals in a row; -1: not a caller
        self._number = 0
        self._window_ns = self.now
        for name, service in services.items():
            for _ in range(service.callers):
                self._come(name, self.now + self.dice.randrange(1_000_000), 0)
            if service.rate:
                self._come(name, self.now, -1)

    def _come(self, name: str, at_ns: int, refusals: int) -> None:
        self._number += 1
        heapq.heappush(self._coming, (at_ns, self._number, name, refusals))

    def reset(self) -> None:
        """Figures count from here."""
        self.served_ns.clear()
        self.served.clear()
        self.shed.clear()
        self.waits_ns.clear()
        self.limited.clear()
        self.shed_ns = 0

    def run(self, seconds: float) -> None:
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            if not self._coming or self._coming[0][0] > self.now:
                self.now = min(end, self._window_ns + WINDOW_NS, self._coming[0][0] if self._coming else end)
                if self.late_ns:
                    self.now += round(self.dice.expovariate(1 / self.late_ns))
            tick = self.now
            ready = []
            while self._coming and self._coming[0][0] <= tick and len(ready) < TICK_EVENTS:
                ready.append(heapq.heappop(self._coming))
            for came in ready:
                self._answer(tick, *came)
            if self.now >= self._window_ns + WINDOW_NS:
                self._look()

    def _answer(self, tick: int, came_ns: int, _: int, name: str, refusals: int) -> None:
        service, budget = self.services[name], self.budgets[name]
        if refusals < 0:
            self._come(name, came_ns + max(1, round(self.dice.expovariate(service.rate) * SECOND)), -1)
        admitted = budget.admit(tick)
        if admitted:
            mean = service.cost_ns
            cost = round(mean * (1 - service.spread) + self.dice.expovariate(1 / mean) * service.spread)
            self.served_ns[name] += cost
            self.served[name] += 1
        else:
            cost = REFUSAL_NS
            self.shed[name] += 1
            self.shed_ns += cost
        self.now += cost
        budget.charge(cost)
        if admitted:
            self.waits_ns[name].append(self.now - came_ns)
        if refusals >= 0:
            refusals = 0 if admitted else refusals + 1
            rests_ns = round(spread(budget.rest_s, self.dice.randrange(1000)) * SECOND) if refusals >= SHEDS_MAX else 0
            self._come(name, self.now + max(ROUND_TRIP_NS, rests_ns), refusals)

    def _look(self) -> None:
        passed_ns = self.now - self._window_ns
        self._window_ns = self.now
        taken = {name: budget.take() for name, budget in self.budgets.items()}
        usages = {name: usage for name, usage in taken.items() if usage is not None}
        self.flows = observe(self.flows, usages, passed_ns, self.capacity)
        for name, budget in self.budgets.items():
            flow = self.flows.get(name)
            budget.allot(flow.ration if flow is not None else None)
        self.limited.append(frozenset(name for name, flow in self.flows.items() if flow.ration is not None))

    def shares(self, seconds: float) -> dict[str, float]:
        return {name: self.served_ns[name] / (seconds * SECOND) for name in self.services}

    def quantile_ms(self, name: str, quantile: float) -> float:
        waits = sorted(self.waits_ns[name])
        return waits[min(len(waits) - 1, int(quantile * len(waits)))] / 1e6
