"""A worker's time shared among its services, while there is too little for all of them.

Rule: each worker decides by itself. Connections are spread over the workers of a compartment, so what one of
them is asked is what all are asked; what it knows of itself is of now, and needs nobody to tell it.

Below the low mark of its compartment nothing is measured and everybody may use all of it. Above, as long as
more than one service is asked, the loop's time is written down by service. Once several were asked at each of
CONTENDED_MIN looks, `engine.shares` says who asks for more than its share of CAPACITY, the middle between the
high mark and a full loop, so that a compartment that sheds is seen to be high by whoever may give it more
workers. Measuring begins with the first report above the mark. It ends when the load was calm for as long as
`watermarks` wants and nobody is limited: on a shared core little CPU is a full load, and the queue that told so
is gone once it is shed.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from compartments.facts.entries import Entries
from compartments.load.gauges import Gauge
from compartments.load.watermarks import Standing, load_of, observe
from engine.http.route import Route
from engine.http.server import Server
from engine.shares import Flow
from engine.shares import observe as share
from havok.settings import Watermarks

WINDOW_NS_MIN = 50_000_000  # reports after changes come sooner
CONTENDED_MIN = 5  # looks in a row, half a second: services that merely follow upon each other do not compete
CAPACITY_MAX = 0.9  # a loop that never rests spends about 0.95 in requests: what is beyond could not be seen
ASKED_NS = 2_000_000_000  # a service that was asked as lately shares; a thousand of them are counted within 1.6 s

_decode_marks = msgspec.msgpack.Decoder(Watermarks).decode


def capacity_of(marks: Watermarks) -> float:
    """Of the loop's time, for requests."""
    return min(CAPACITY_MAX, (marks.high + 1.0) / 2)


class Sharing:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._entries = Entries(marks=_decode_marks)
        self._marks = Watermarks()
        self._standing: Standing | None = None
        self._flows: dict[str, Flow] = {}
        self._since_ns = 0
        self._contended = 0  # looks in a row at which several services were asked
        self._counts: dict[bytes, int] = {}
        self._asked_ns: dict[bytes, int] = {}  # by path, when its count was last seen to grow
        self.shed: Counter[str] = Counter()  # by service, since the start

    def follow(self, entries: Mapping[str, bytes]) -> None:
        if self._entries.follow(entries):
            self._marks = self._entries.of("marks").get(self._server.compartment, Watermarks())

    def look(self, gauge: Gauge, now_ns: int) -> None:
        """With each report, after requests were counted."""
        passed_ns = now_ns - self._since_ns
        if passed_ns < WINDOW_NS_MIN:
            return
        self._since_ns = now_ns
        load = load_of(gauge.busy, gauge.delay_us)
        self._standing = observe(self._marks, self._standing, load, now_ns)
        is_above = self._standing.level != "calm" or self._standing.load > self._marks.low
        if self._server.measured:
            self._account(passed_ns)
        is_limited = any(flow.ration is not None for flow in self._flows.values())
        wanted = (is_above or is_limited) and self._asked(now_ns) > 1
        if wanted != self._server.measured:
            self._server.measure(wanted)
            self._flows = {}

    def _asked(self, now_ns: int) -> int:
        """How many services were, lately; those not counted in this go are as they were."""
        counts = self._server.counts
        for path, count in counts.items():
            if self._counts.get(path, count) != count:
                self._asked_ns[path] = now_ns
        self._counts = dict(counts)
        self._asked_ns = {path: at_ns for path, at_ns in self._asked_ns.items() if now_ns - at_ns < ASKED_NS}
        return len(self._asked_ns)

    def _account(self, passed_ns: int) -> None:
        routes = {target.service: target for target in self._server.table.values() if isinstance(target, Route)}
        taken = {name: route.budget.take() for name, route in routes.items()}
        usages = {name: usage for name, usage in taken.items() if usage is not None}
        for name, usage in usages.items():
            if usage.shed:
                self.shed[name] += usage.shed
        asking = sum(usage.offered > 0 for usage in usages.values())
        self._contended = self._contended + 1 if asking > 1 else 0
        before, self._flows = self._flows, {}
        if self._contended >= CONTENDED_MIN:
            self._flows = share(before, usages, passed_ns, capacity_of(self._marks))
        for name in before.keys() | self._flows.keys():
            if name in routes:
                flow = self._flows.get(name)
                routes[name].budget.allot(flow.ration if flow is not None else None)
