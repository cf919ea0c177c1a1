"""Where a compartment's load stands between its marks: calm, between, or high.

Rule: pure. (marks, what was known, a load, now) → what is known. Time is a monotonic clock's,
in ns, and is only ever subtracted; a sample that is not later than the last changes nothing.

**Load** (0 … 1, no unit) of a worker is the greater of two witnesses:

    load = max(busy, min(1, delay / DELAY_FULL))        the second where busy >= BUSY_WITNESS

`busy` is CPU seconds of its loop per second: right while the worker has a core to itself. On
a shared core it stops short of 1 however much waits (at 0.26 beside two others that never rest),
and there `delay`, how long something ready waits for its turn, tells it (6 ms in the mean, 0.1 ms
for a full worker alone). DELAY_FULL = 5 ms is what CoDel (RFC 8289) calls a standing queue. A worker
that does next to nothing and is late all the same (below BUSY_WITNESS) tells of its machine:
another worker there would be as late.

**Smoothing** is exponential with the time constant SMOOTH, and the samples' own times:

    load' = load + (sample - load) · (1 - exp(-Δt / SMOOTH))

so that a report more, fewer or late weighs what its time weighs. A sample is 100 ms of a
loop: single ones are wide of the truth (a collection of garbage, a version opened, requests
that come in groups). SMOOTH = 0.4 s divides that noise by three, where a step from idle to
full is over the default high mark within 0.6 s. A median would be steadier against one
outlier, but knows no uneven times; a mean over a window forgets a step all at once.

**Levels**, with h = HYSTERESIS · (high - low), each from the one before (a Schmitt trigger):

    high       load > high,    or > high - h where it is high already
    calm       load < low,     or < low + h where it is calm already
    between    otherwise

A level counts when it was due for its whole DWELL without a break: `high` for 0.3 s, three samples, as
waiting costs callers; `between` as long; `calm` for 2 s, as giving up too late costs nothing. What falls from high to
calm is between meanwhile.

**Changed marks** are a person's decision about the load there is: the smoothed load is judged
by them at once, without dwell. At a tick of 100 ms they are effective within 100 ms. low = 0
is never calm, high = 1 never high.
"""

from math import exp
from typing import Literal

import msgspec

from havok.settings import Watermarks

Level = Literal["calm", "between", "high"]

DELAY_FULL_US = 5_000
BUSY_WITNESS = 0.1
SMOOTH_NS = 400_000_000
HYSTERESIS = 0.1  # of the distance of the marks; less than half of it, or a level would have no way out
DWELL_NS: dict[Level, int] = {"high": 300_000_000, "between": 300_000_000, "calm": 2_000_000_000}


class Smoothed(msgspec.Struct, frozen=True, gc=False):
    """A load, and when it was last looked at."""

    load: float
    at_ns: int


class Standing(msgspec.Struct, frozen=True):
    """Where a compartment stands. `due` is the level that its load is at, since `due_ns`."""

    marks: Watermarks
    smoothed: Smoothed
    level: Level
    since_ns: int
    due: Level
    due_ns: int

    @property
    def load(self) -> float:
        return self.smoothed.load


def load_of(busy: float, delay_us: float) -> float:
    """Of one worker: CPU seconds of its loop per second, and the wait for its turn."""
    waiting = min(1.0, delay_us / DELAY_FULL_US) if busy >= BUSY_WITNESS else 0.0
    return max(0.0, min(1.0, busy), waiting)


def smooth(before: Smoothed | None, load: float, now_ns: int) -> Smoothed:
    """The first sample is taken as it is."""
    if before is None:
        return Smoothed(load, now_ns)
    passed_ns = now_ns - before.at_ns
    if passed_ns <= 0:
        return before
    return Smoothed(before.load + (load - before.load) * (1.0 - exp(-passed_ns / SMOOTH_NS)), now_ns)


def observe(marks: Watermarks, before: Standing | None, load: float, now_ns: int) -> Standing:
    """`load` is the mean of the compartment's workers, by `load_of`. The first sample needs no dwell."""
    if before is None:
        smoothed = Smoothed(load, now_ns)
        level = level_at(marks, "between", load)
        return Standing(marks, smoothed, level, now_ns, level, now_ns)
    smoothed = smooth(before.smoothed, load, now_ns)
    now_ns = max(now_ns, before.smoothed.at_ns)
    if marks != before.marks:
        level = level_at(marks, "between", smoothed.load)
        since_ns = before.since_ns if level == before.level else now_ns
        return Standing(marks, smoothed, level, since_ns, level, now_ns)
    due = level_at(marks, before.level, smoothed.load)
    due_ns = before.due_ns if due == before.due else now_ns
    level = before.level
    if now_ns - due_ns >= DWELL_NS[due]:
        level = due
    elif level == "high" and due == "calm" and now_ns - due_ns >= DWELL_NS["between"]:
        level = "between"
    return Standing(marks, smoothed, level, before.since_ns if level == before.level else now_ns, due, due_ns)


def level_at(marks: Watermarks, level: Level, load: float) -> Level:
    """Where a load stands that comes from `level`."""
    slack = HYSTERESIS * (marks.high - marks.low)
    if load > (marks.high - slack if level == "high" else marks.high):
        return "high"
    if load < (marks.low + slack if level == "calm" else marks.low):
        return "calm"
    return "between"
