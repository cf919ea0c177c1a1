"""How a compartment is: its levels, its workers' loads, what it needs and whom it can spare.

Rule: pure; one compartment at a time. What follows from it is `compartments.load.rebalance`'s.
"""

from collections.abc import Collection, Mapping

import msgspec

from compartments.load.moves import Compartment, Known, Worker
from compartments.load.spread import Share, spread
from compartments.load.watermarks import Smoothed, Standing, load_of, observe, smooth

REST_NS = 2_000_000_000  # between two spreads, doubled with each that follows: one that does not help ends
REST_DOUBLINGS = 5  # up to 64 s


def look(item: Compartment, before: Known | None, now_ns: int) -> Known:
    """What is known of a compartment with its new gauges."""
    if before is None:
        before = Known(item.wanted, now_ns)
    ready = [worker for worker in item.workers if worker.ready]
    settled = len(ready) == item.wanted == before.wanted
    unsettled_ns = before.unsettled_ns if settled else now_ns
    if not ready:  # nothing is known of the load now
        return msgspec.structs.replace(before, wanted=item.wanted, unsettled_ns=unsettled_ns, uneven_ns=None)
    loads = {}
    total = hottest = 0.0
    for worker in ready:
        load = load_of(worker.busy, worker.delay_us)
        total += load
        smoothed = loads[worker.name] = smooth(before.loads.get(worker.name), load, now_ns)
        hottest = max(hottest, smoothed.load)
    standing = observe(item.marks, before.standing, total / len(ready), now_ns)
    spreads, uneven_ns = before.spreads, None
    if hottest > item.marks.low and len(ready) > 1 and spread(shares(item, loads), item.marks):
        uneven_ns = now_ns if before.uneven_ns is None else before.uneven_ns
    elif spreads and before.moved_ns is not None and now_ns - before.moved_ns >= REST_NS << REST_DOUBLINGS:
        spreads = 0
    return Known(
        item.wanted, unsettled_ns, standing, loads, before.grown_ns, uneven_ns, before.moved_ns, spreads,
        before.pressed_ns,
    )  # fmt: skip


def shares(item: Compartment, loads: Mapping[str, Smoothed]) -> list[Share]:
    """Of the workers that are ready."""
    return [Share(w.name, loads[w.name].load, w.connections) for w in item.workers if w.ready and w.name in loads]


def rest_ns(spreads: int) -> int:
    """How long connections stay where they are after so many spreads."""
    return REST_NS << max(0, min(spreads - 1, REST_DOUBLINGS))


def ready_workers(item: Compartment) -> int:
    return sum(worker.ready for worker in item.workers)


def aim(item: Compartment) -> float:
    """The load that is meant for each worker."""
    return (item.marks.low + item.marks.high) / 2


def load_without_one(item: Compartment, standing: Standing) -> float:
    """Of each of the others, when one of its workers is gone."""
    return standing.load * ready_workers(item) / (item.wanted - 1) if item.wanted > 1 else float("inf")


def coolest(item: Compartment, known: Known, leaving: Collection[str | None]) -> str | None:
    """Whom to give up beside those that leave already.

    Who is not there (None), then who serves nobody yet, then the fewest connections.
    """
    if item.wanted - len(item.workers) > sum(worker is None for worker in leaving):
        return None

    def cost(worker: Worker) -> tuple[bool, int, float, str]:
        smoothed = known.loads.get(worker.name)
        return worker.ready, worker.connections, smoothed.load if smoothed else 0.0, worker.name

    return min((worker for worker in item.workers if worker.name not in leaving), key=cost).name
