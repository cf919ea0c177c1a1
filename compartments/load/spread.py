"""Which connections of a compartment should be with another of its workers.

Rule: pure. A worker is hot when it is over UNEVEN × the mean of all and over the low mark
(below it nobody waits, and a move would win nothing); or over the high mark while another
has less than 1/UNEVEN of its load, as when a worker was just added to many.

From the hottest to the coolest goes the lesser of what the one has above the mean and what
the other has below: neither crosses the mean, so a move never makes a new hot worker of a
cool one, as far as connections are alike:

    count = floor(connections · min(hot - mean, mean - cool) / hot)

How much of the load a single connection makes is not known. Where one makes most of it, a
move does not help, or only changes who is hot; so `compartments.load.rebalance` waits longer
after each. Floor, so that a worker with one connection keeps it.
"""

import msgspec

from havok.settings import Watermarks

UNEVEN = 1.3  # the bar of a hot key: no worker above 1.3 × the mean
EVEN = 1.1  # when connections move, then until all are below this; between the two, noise asks for nothing
ROUNDING = 1e-9
PAIRS_MAX = 8  # of one compartment at once: each is a message, and the next tick may go on


class Share(msgspec.Struct, frozen=True, gc=False):
    """A worker's part of the load."""

    worker: str
    load: float
    connections: int


class Shift(msgspec.Struct, frozen=True, gc=False):
    """`count` connections from one to the other, as they were loaded then, and the mean."""

    source: Share
    target: Share
    count: int
    mean: float


def spread(shares: list[Share], marks: Watermarks) -> list[Shift]:
    """Those that bring all workers near their mean; none when they are, or cannot be brought there."""
    if len(shares) < 2:
        return []
    mean = sum(share.load for share in shares) / len(shares)
    if not _is_uneven(max(shares, key=_load), min(shares, key=_load), mean, marks):
        return []
    shifts: list[Shift] = []
    shares = list(shares)
    while len(shifts) < PAIRS_MAX and len(shares) > 1:
        hot = max(shares, key=_load)
        cool = min(shares, key=_load)
        if hot.load <= max(EVEN * mean, marks.low):
            break
        shares.remove(hot)
        each = hot.load / max(1, hot.connections)
        count = int(min(hot.load - mean, mean - cool.load) / each + ROUNDING)
        if count < 1:
            continue  # its connections are too few to be split; the next one's may not be
        shifts.append(Shift(hot, cool, count, mean))
        shares[shares.index(cool)] = Share(cool.worker, cool.load + count * each, cool.connections + count)
        shares.append(Share(hot.worker, hot.load - count * each, hot.connections - count))
    return shifts


def _is_uneven(hot: Share, cool: Share, mean: float, marks: Watermarks) -> bool:
    if hot.load <= marks.low:
        return False
    return hot.load > UNEVEN * mean or (hot.load > marks.high and hot.load > UNEVEN * cool.load)


def _load(share: Share) -> float:
    return share.load
