"""Where a path leads in this worker: a program with all that is ready before a request.

Rule: swapped whole. A route is made aside, then put into the table between two requests.
"""

from collections.abc import Callable, Sequence
from typing import Any

from engine.analysis.analysis_program import AnalysisProgram
from engine.column import OutputColumn
from engine.forms.media import JSON
from engine.forms.transcode import to_msgpack
from engine.histogram import Histogram
from engine.http.responses import LENGTHS, LENGTHS_MAX, WRAP_BYTES, error_response, head
from engine.limit import RateLimit
from engine.program import Program
from engine.queries.select_program import SelectProgram
from havok.errors import HavokError, NotFound

_DATE = b"\0"  # where the date will stand; no header and no JSON holds it


class Route:
    """A service served here. `start` and `miss` are stamped with the date each second."""

    __slots__ = (
        "_miss",
        "_msgpack",
        "_start",
        "columns",
        "headers",
        "histogram",
        "limit",
        "linear",
        "miss",
        "missing",
        "program",
        "query",
        "service",
        "start",
    )

    def __init__(
        self,
        program: Program | SelectProgram | AnalysisProgram,
        date: bytes,
        *,
        workers: int = 1,
        histogram: Histogram | None = None,
        limit: RateLimit | None = None,
    ) -> None:
        """`workers` share the rate limit. A histogram outlives the programs it counts, and so does
        the limit before, if it is the same: a swap gives nobody a new burst.
        """
        plan = program.plan
        self.service = plan.service
        self.program: Any = program
        self.query = program.query
        self.columns: Sequence[OutputColumn] = plan.columns
        versions = ", ".join(f"{snapshot.dataset}@{snapshot.version}" for snapshot in program.snapshots)
        self.headers = f"Havok-Version: {versions}\r\nHavok-Compartment: {plan.compartment}\r\n".encode()
        self.histogram = histogram or Histogram()
        self.linear = self.histogram.linear
        self.limit: RateLimit | None = None
        if plan.rate_rps is not None:
            fresh = RateLimit(plan.rate_rps / workers, max(1, plan.rate_burst // workers))
            self.limit = limit if limit is not None and limit.same_as(fresh) else fresh
        self._msgpack: Callable[[bytes], bytes] | None = None
        self.missing = NotFound(f"{plan.service} has no row with this key")  # answered, never raised
        self._start = head(200, _DATE, self.headers, JSON).split(_DATE)
        self._miss = error_response(self.missing, _DATE, self.headers).split(_DATE)
        self.start = self.miss = b""
        self.stamp(date)

    def stamp(self, date: bytes) -> None:
        self.start = date.join(self._start)
        self.miss = date.join(self._miss)

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


class Elsewhere:
    """A service of another compartment: the connection is handed there."""

    __slots__ = ("compartment", "service")

    def __init__(self, service: str, compartment: str) -> None:
        self.service = service
        self.compartment = compartment


class Unready:
    """A service of this compartment that cannot answer, and why."""

    __slots__ = ("error", "service")

    def __init__(self, service: str, error: HavokError) -> None:
        self.service = service
        self.error = error


Target = Route | Elsewhere | Unready


def path_of(service: str) -> bytes:
    return f"/v1/{service}".encode()
