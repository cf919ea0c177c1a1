"""Who may take how much of a worker's time while there is too little for all.

Rule: pure. What services did in a window, and what is known of them → what is known then, and a ration
for each that asks for more than its share. Nobody else has one. Time is an argument, in ns.

**Demand** is what a service would take if all it is asked were served. What is shed costs little and
would not show, so requests are counted as they are offered, each at the mean cost of those served:

    cost_i = S(served ns) / S(admitted)        demand_i = cost_i · S(offered) / S(ns that passed)

S are sums that decay by exp(-Δt / T), T = COST for the cost, DEMAND for the rest. All times are the
wall's while the loop runs: on a shared core it is preempted in whatever it does, all costs grow alike,
and a full loop is one that always runs, wherever it stands. Shares are fractions of that time.

**Shares** are weighted max-min fair (water filling: Bertsekas and Gallager, Data Networks, 6.5.2):

    share_i = min(demand_i, max(least, level · weight_i)),  the highest level with Σ share_i <= capacity
    least = FLOOR · capacity / services

so whoever asks for less than its part gets all it asks, what it leaves goes to the others by their
weights, and no weight however small starves. While Σ demand <= capacity every share is the demand, and
nobody has a ration: it works on all there is. Where demand is steady so is the outcome: who is limited
depends on what is offered and not on what was served, so that shedding does not hide its own reason.

**A ration** lets requests in at a rate (GCRA, `engine.budget`), each at the mean cost and corrected when its own
is known: what one took above it is a debt, what it left is there for the next, over any number of windows,
as in deficit round robin (Shreedhar and Varghese, 1995). So costly requests get their share, if seldom.
The rate is the share, less what its own refusals take, so that a flood pays for being refused; a part of the
share is always served. What was left while nothing came is kept for a burst and one request more, and may come
at once: less, and random arrivals would miss a part of what is theirs; more, and others would wait for it.
A loop that has its turns late, on a crowded core or between others' long ones, finds that more was left
than may be kept, although requests were refused before. While that is LOST of the time, the burst grows by half each
window, from BURST to BURST_MAX: as long as others wait anyway.

**Rest.** A refusal costs a read and a write, nearly as much as a look-up. Whoever asks again at once and is
refused again is therefore not read from for a moment, as long as keeps refusals at REJECTING of their service's
share, so that what is served keeps to the weights as well: rest' = rest · √(refusing / REJECTING), from 0.8 to
2 times as long, up to REST_S_MAX.
"""

from collections.abc import Mapping
from math import exp, sqrt

import msgspec

COST_NS = 2_000_000_000
DEMAND_NS = 300_000_000  # three windows of a report: a flood that begins shows in the first
FLOOR = 0.1  # of an equal part
SERVED_LEAST = 0.25  # of a share, however much its refusals take
TOLERANCE = 1.05  # a demand that is estimated: who keeps to his share is not shed for its noise
BURST_NS = 5_000_000  # others may wait for it: a standing queue, as `compartments.load.watermarks` has it
BURST_NS_MAX = 25_000_000
LOST = 0.05
REJECTING = 0.06
REST_S_MIN, REST_S_MAX = 0.001, 0.05  # timers know milliseconds; others may share the connection
FORGET_NS = 2_000_000_000


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What a service did in a window. `offered` is with what was shed, times are of the loop."""

    weight: float
    offered: int
    shed: int
    served_ns: int
    shed_ns: int
    lost_ns: int = 0  # of its ration: it was not there to take it


class Ration(msgspec.Struct, frozen=True, gc=False):
    """`price`: ns between requests for each ns that they take. `rest_s`: of who is refused again and again; 0: none."""

    cost_ns: float
    price: float
    burst_ns: int
    rest_s: float


class Sums(msgspec.Struct, frozen=True, gc=False):
    """Decayed; those of cost and those of demand."""

    admitted: float = 0.0
    served_ns: float = 0.0
    offered: float = 0.0
    passed_ns: float = 0.0


class Flow(msgspec.Struct, frozen=True, gc=False):
    """What is known of a service. `ration` None: it may take what it wants."""

    weight: float
    sums: Sums = Sums()
    cost_ns: float = 0.0
    demand: float = 0.0
    share: float = 0.0
    allowed: float = 0.0  # of the share, for what is served
    burst_ns: float = BURST_NS
    rest_s: float = 0.0
    quiet_ns: int = 0  # for so long nothing was asked
    ration: Ration | None = None


def observe(
    before: Mapping[str, Flow], usages: Mapping[str, Usage], passed_ns: int, capacity: float
) -> dict[str, Flow]:
    """`usages` of the services that did something in the window of `passed_ns` > 0; `capacity` of the loop, 0 … 1."""
    seen = {name: _look(before.get(name), usages.get(name), passed_ns) for name in before.keys() | usages.keys()}
    flows = {name: flow for name, flow in seen.items() if flow.quiet_ns < FORGET_NS}
    shares = fair_shares({name: (flow.weight, flow.demand) for name, flow in flows.items()}, capacity)
    return {
        name: _allot(before.get(name), flow, shares[name], usages.get(name), passed_ns) for name, flow in flows.items()
    }


def fair_shares(asked: Mapping[str, tuple[float, float]], capacity: float) -> dict[str, float]:
    """(weight, demand) of each → its share."""
    shares: dict[str, float] = {}
    least = FLOOR * capacity / max(1, len(asked))
    open_ = dict(asked)
    while open_:
        filled = _fill(open_, capacity)
        poor = {name: min(open_[name][1], least) for name, share in filled.items() if share < least}
        poor = {name: share for name, share in poor.items() if share > filled[name]}
        if not poor:
            return shares | filled
        shares |= poor
        capacity -= sum(poor.values())
        open_ = {name: pair for name, pair in open_.items() if name not in poor}
    return shares


def _fill(asked: Mapping[str, tuple[float, float]], capacity: float) -> dict[str, float]:
    """By weight alone: from whom asks for the least of its part on, what is left is divided again."""
    weights = sum(weight for weight, _ in asked.values())
    filled = {}
    for name, (weight, demand) in sorted(asked.items(), key=lambda item: item[1][1] / item[1][0]):
        filled[name] = min(demand, max(0.0, capacity) * min(1.0, weight / weights)) if weights > 0 else 0.0
        capacity -= filled[name]
        weights -= weight
    return filled


def _look(before: Flow | None, usage: Usage | None, passed_ns: int) -> Flow:
    if usage is None:
        assert before is not None
        usage = Usage(before.weight, 0, 0, 0, 0)
    if before is None:
        before = Flow(usage.weight)
    sums, by_cost, by_demand = before.sums, exp(-passed_ns / COST_NS), exp(-passed_ns / DEMAND_NS)
    sums = Sums(
        sums.admitted * by_cost + usage.offered - usage.shed,
        sums.served_ns * by_cost + usage.served_ns,
        sums.offered * by_demand + usage.offered,
        sums.passed_ns * by_demand + passed_ns,
    )
    cost_ns = sums.served_ns / sums.admitted if sums.admitted >= 1e-3 else before.cost_ns
    return msgspec.structs.replace(
        before,
        weight=usage.weight,
        sums=sums,
        cost_ns=cost_ns,
        demand=cost_ns * sums.offered / sums.passed_ns,
        quiet_ns=0 if usage.offered else before.quiet_ns + passed_ns,
    )


def _allot(before: Flow | None, flow: Flow, share: float, usage: Usage | None, passed_ns: int) -> Flow:
    was_limited = before is not None and before.ration is not None
    if flow.demand <= share * (1.0 if was_limited else TOLERANCE) or flow.cost_ns < 1.0:
        return msgspec.structs.replace(flow, share=share, allowed=share, rest_s=0.0, burst_ns=BURST_NS, ration=None)
    refusing = usage.shed_ns / passed_ns if usage is not None else 0.0
    allowed = max(share - refusing, share * SERVED_LEAST)
    rest_s = _rest(flow.rest_s, refusing / share)
    is_losing = usage is not None and usage.shed and usage.lost_ns > LOST * passed_ns
    burst_ns = max(BURST_NS, min(BURST_NS_MAX, flow.burst_ns * (1.5 if is_losing else 0.95)))
    return msgspec.structs.replace(
        flow,
        share=share,
        allowed=allowed,
        burst_ns=burst_ns,
        rest_s=rest_s,
        ration=Ration(flow.cost_ns, 1.0 / allowed, round(burst_ns), rest_s),
    )


def _rest(rest_s: float, refusing: float) -> float:
    """`refusing`: the part of a share that refusals take."""
    factor = max(0.8, min(2.0, sqrt(refusing / REJECTING)))
    rest_s = max(rest_s, REST_S_MIN if refusing > REJECTING else 0.0) * factor
    return min(rest_s, REST_S_MAX) if rest_s >= REST_S_MIN else 0.0
