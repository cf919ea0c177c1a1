"""Where a path leads in this worker: a program with all that is ready before a request.

Rule: swapped whole. A route is made aside, then put into the table between two requests.
"""

from collections.abc import Callable, Sequence
from typing import Any

from engine.analysis.analysis_program import AnalysisProgram
from engine.budget import Budget, overloaded
from engine.column import OutputColumn
from engine.forms.media import JSON
from engine.forms.transcode import to_msgpack
from engine.histogram import Histogram
from engine.http.answering import Answering
from engine.http.meter import Meter
from engine.http.passage import RANKS
from engine.http.responses import LENGTHS, LENGTHS_MAX, WRAP_BYTES, error_response, head
from engine.limit import RateLimit
from engine.program import Program
from engine.queries.select_program import SelectProgram
from havok.errors import HavokError, NotFound

ANSWER_S_MAX = 30.0  # of what a worker answers itself; what executors do has limits of its own
_DATE = b"\0"  # where the date will stand; no header and no JSON holds it


class Route:
    """A service served here. `start`, `miss` and `shed` are stamped with the date each second.

    `query` answers a canonical query string at once, `begun` is an answer that it began and did not end,
    or the response to what failed meanwhile.
    `limit` is what a request is asked for: the rate limit, or the budget while the worker is measured.
    """

    __slots__ = (
        "_miss",
        "_msgpack",
        "_shed",
        "_start",
        "begun",
        "budget",
        "columns",
        "headers",
        "histogram",
        "limit",
        "linear",
        "miss",
        "missing",
        "program",
        "query",
        "rate",
        "service",
        "shed",
        "start",
    )

    def __init__(
        self,
        program: Program | SelectProgram | AnalysisProgram,
        date: bytes,
        *,
        histogram: Histogram | None = None,
        limit: RateLimit | None = None,
        budget: Budget | None = None,
    ) -> None:
        """A histogram outlives the programs it counts, as does a budget, and so does the rate limit before, if it is
        the same: a swap gives nobody a new burst.
        """
        plan = program.plan
        self.service = plan.service
        self.program: Any = program
        self.query: Callable[[bytes], bytes | None] = program.query
        self.begun: Answering | bytes | None = None
        self.columns: Sequence[OutputColumn] = plan.columns
        versions = ", ".join(f"{snapshot.dataset}@{snapshot.version}" for snapshot in program.snapshots)
        self.headers = f"Havok-Version: {versions}\r\nHavok-Compartment: {plan.compartment}\r\n".encode()
        self.histogram = histogram or Histogram()
        self.linear = self.histogram.linear
        self.rate: RateLimit | None = None
        if plan.rate_rps is not None:
            fresh = RateLimit(plan.rate_rps, plan.rate_burst)
            self.rate = limit if limit is not None and limit.same_as(fresh) else fresh
        self.limit: RateLimit | Budget | None = self.rate
        self.budget = budget or Budget()
        self._msgpack: Callable[[bytes], bytes] | None = None
        self.missing = NotFound(f"{plan.service} has no row with this key")  # answered, never raised
        self._start = head(200, _DATE, self.headers, JSON).split(_DATE)
        self._miss = error_response(self.missing, _DATE, self.headers).split(_DATE)
        self._shed = error_response(overloaded(plan.service), _DATE, self.headers).split(_DATE)
        self.start = self.miss = self.shed = b""
        self.stamp(date)

    def stamp(self, date: bytes) -> None:
        self.start = date.join(self._start)
        self.miss = date.join(self._miss)
        self.shed = date.join(self._shed)

    def measure(self, meter: Meter | None) -> None:
        """Its requests are asked for at its budget, until None; a budget that is measured already goes on."""
        budget = self.budget
        budget.rate, budget.weight = self.rate, self.program.plan.weight
        if budget.is_measured != (meter is not None):
            budget.open(meter)
        self.limit = self.rate if meter is None else budget

    def answer(self, data: bytes | None) -> bytes:
        """The whole JSON response to a request that keeps the connection; None: no such row."""
        if not data:
            return self.miss
        size = len(data)
        length = LENGTHS[size] if size < LENGTHS_MAX else b'Content-Length: %d\r\n\r\n{"data":' % (size + WRAP_BYTES)
        return b"".join((self.start, length, data, b"}"))

    def transcode(self, body: bytes) -> bytes:
        """The JSON answer as MessagePack; the coder is made when first asked for."""
        if self._msgpack is None:
            self._msgpack = to_msgpack(self.columns)
        return self._msgpack(body)


class SqlRoute(Route):
    """A SQL service served here: its answers may take more than a moment."""

    __slots__ = ()

    program: SelectProgram | AnalysisProgram

    @property
    def is_select(self) -> bool:
        """A query that is answered here, no mere look-up."""
        return isinstance(self.program, SelectProgram) and self.program.takes_turns

    @property
    def takes_turns(self) -> bool:
        """Whether its answers wait for each other: what one takes is not its latency."""
        return self.is_select or not isinstance(self.program, SelectProgram)


class Elsewhere:
    """A service of another compartment: the connection is handed there, or the request forwarded.

    `rank`: of that compartment's priority, see `engine.http.passage`. `answer_s`: how long a forwarded request may
    be without a byte of its answer; by then its worker would have been found hung.
    """

    __slots__ = ("answer_s", "compartment", "rank", "service")

    def __init__(
        self, service: str, compartment: str, rank: int = RANKS["medium"], answer_s: float = ANSWER_S_MAX
    ) -> None:
        self.service = service
        self.compartment = compartment
        self.rank = rank
        self.answer_s = answer_s


class Unready:
    """A service of this compartment that cannot answer, and why."""

    __slots__ = ("error", "service")

    def __init__(self, service: str, error: HavokError) -> None:
        self.service = service
        self.error = error


Target = Route | Elsewhere | Unready


def path_of(service: str) -> bytes:
    return f"/v1/{service}".encode()
