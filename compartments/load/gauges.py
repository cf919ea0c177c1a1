"""What a worker measures of itself: how busy its loop is, who waits, what each service costs.

Rule: nothing here is done per request. Counters that exist anyway are looked at when a report
is due, and what is looked at in one go is bounded, however many services there are.

`busy` is CPU seconds of the loop's thread per second; threads that hash a new version are
not load. `delay_us` is how long something ready waits for its turn: a timer every PROBE_S
asks when it is really run. A timer and a socket wait for the same loop, behind the same
ticks, queries and collections of garbage, and the same run queue of the kernel; the time of
a tick alone would miss all but the first, and cost every request something. Probes that a
long wait left out are counted as if they had been due within it, else the longest waits
would count least. (Where within a tick a request has its turn, its latency says.)

`costs` are shares of the loop by service, from the time that requests took: of look-ups the
latencies, which a tick's requests share and which are therefore scaled to `busy` where they
add up to more, of SQL services the time of their turns. With more than COSTS_MAX services
each is looked at in its turn, its share being that of the time since the last.
"""

import asyncio
import os
import resource
from collections.abc import Mapping
from heapq import nlargest
from time import monotonic_ns

import msgspec

from engine.histogram import Histogram
from engine.http.route import Route, SqlRoute, Target

PROBE_S = 0.05  # two for each report; a wake-up of an idle worker is some 50 µs, a tenth of a percent in all
SAMPLE_NS_MIN = 50_000_000  # reports after changes come sooner, and a fraction of so little time says nothing
COSTS_MAX = 8  # services looked at in one go: 30 µs each
COSTS_SHOWN = 16  # the most costly ones, in a report
COST_SHOWN_MIN = 0.0005
_PROBE_NS = round(PROBE_S * 1e9)
_PAGE_MB = resource.getpagesize() / 2**20


class Gauge(msgspec.Struct, frozen=True):
    """As in `havok.messages.Report`."""

    busy: float = 0.0
    delay_us: float = 0.0
    rss_mb: float = 0.0
    faults_major: int = 0
    costs: dict[str, float] = {}


class Gauges:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, table: Mapping[bytes, Target], now_ns: int, cpu_ns: int
    ) -> None:
        """Of the process it is made in. `cpu_ns` is of the thread that runs the loop."""
        self._loop = loop
        self._since = (now_ns, cpu_ns)
        self._last = Gauge()
        self._waits = Waits()
        self._costs = Costs(table)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._due_ns = 0
        self._plan()

    def sample(self, now_ns: int, cpu_ns: int) -> Gauge:
        """Since the last sample; that again when it was a moment ago."""
        since_ns, cpu_since_ns = self._since
        if now_ns - since_ns < SAMPLE_NS_MIN:
            return self._last
        self._since = (now_ns, cpu_ns)
        busy = (cpu_ns - cpu_since_ns) / (now_ns - since_ns)
        self._last = Gauge(
            busy=round(busy, 4),
            delay_us=round(self._waits.mean_us(), 1),
            rss_mb=round(int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_MB, 2),
            faults_major=resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
            costs=self._costs.sample(now_ns, busy),
        )
        return self._last

    def _plan(self) -> None:
        self._due_ns = monotonic_ns() + _PROBE_NS
        self._timer = self._loop.call_later(PROBE_S, self._probe)

    def _probe(self) -> None:
        self._waits.record(monotonic_ns() - self._due_ns)
        self._plan()

    def close(self) -> None:
        self._timer.cancel()
        os.close(self._statm)


class Waits:
    """Of the probes since the mean was last asked for."""

    def __init__(self) -> None:
        self._sum_ns = 0
        self._count = 0
        self._mean_us = 0.0

    def record(self, ns: int) -> None:
        """A probe that was run so late; a timer of a loop with a clock in ms may also be early."""
        ns = max(0, ns)
        left_out = ns // _PROBE_NS  # they would have waited ns - 1 · PROBE, ns - 2 · PROBE, …
        self._sum_ns += ns * (1 + left_out) - _PROBE_NS * left_out * (left_out + 1) // 2
        self._count += 1 + left_out

    def mean_us(self) -> float:
        """That before, while there was no probe."""
        if self._count:
            self._mean_us = self._sum_ns / self._count / 1000
            self._sum_ns = self._count = 0
        return self._mean_us


class _Seen(msgspec.Struct, frozen=True, gc=False):
    histogram: Histogram
    spent_ns: int
    at_ns: int
    share: float


class Costs:
    def __init__(self, table: Mapping[bytes, Target]) -> None:
        self._table = table
        self._seen: dict[bytes, _Seen] = {}
        self._looking: list[bytes] = []

    def sample(self, now_ns: int, busy: float) -> dict[str, float]:
        """The most costly services and their shares of the loop, which are at most `busy` together."""
        if not self._looking:
            self._looking = list(self._table)
            self._seen = {path: seen for path, seen in self._seen.items() if path in self._table}
        for path in self._looking[-COSTS_MAX:]:
            target = self._table.get(path)
            if isinstance(target, Route):
                self._look(path, target, now_ns)
            else:
                self._seen.pop(path, None)
        del self._looking[-COSTS_MAX:]
        shares = {path: seen.share for path, seen in self._seen.items() if seen.share >= COST_SHOWN_MIN}
        scale = min(1.0, busy / sum(shares.values())) if shares else 1.0
        found = {}
        for path, share in nlargest(COSTS_SHOWN, shares.items(), key=lambda item: item[1]):
            target = self._table.get(path)
            if target is not None:
                found[target.service] = round(share * scale, 4)
        return found

    def _look(self, path: bytes, route: Route, now_ns: int) -> None:
        histogram = route.histogram
        takes_turns = isinstance(route, SqlRoute) and route.takes_turns
        spent_ns = histogram.turns_ns if takes_turns else histogram.total_ns
        before = self._seen.get(path)
        share = 0.0
        if before is not None and before.histogram is histogram and now_ns > before.at_ns:
            share = (spent_ns - before.spent_ns) / (now_ns - before.at_ns)
        self._seen[path] = _Seen(histogram, spent_ns, now_ns, share)
