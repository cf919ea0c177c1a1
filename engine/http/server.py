"""The routes of a worker and what its connections share.

Rule: `answer` maps one whole request to one whole response and never raises. Routes change
between two requests, all of a change at once (`deploy`).
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic_ns

from engine.forms.media import ANSWER_TYPES, JSON, MSGPACK, ROW_TYPES
from engine.http.answering import Answering
from engine.http.answers import Answers
from engine.http.call import post
from engine.http.connection import Connection
from engine.http.forwarding import Ask, Forwarding
from engine.http.hand_overs import HandOvers, PassOn, refuse
from engine.http.head import Head, HeadReader
from engine.http.meter import Meter
from engine.http.peer import PHASE_S_MAX
from engine.http.problems import Problems, lasting
from engine.http.reactor import Reactor
from engine.http.relay import Relay
from engine.http.responses import head, http_date, response
from engine.http.route import Elsewhere, Route, SqlRoute, Target, Unready, path_of
from havok.errors import (
    Draining,
    HavokError,
    MethodNotAllowed,
    NoService,
    NotAcceptable,
    Overloaded,
    RequestTimeout,
    UnsupportedMedia,
)

log = logging.getLogger(__name__)

SWEEP_S = 0.25  # how late a deadline may be noticed
SWEEP_MAX = 2048  # connections looked at in one go (about 0.3 ms): no stall with thousands
COUNT_MAX = 64  # routes whose requests are summed in one go (about 0.4 ms); 1,000 take 1.6 s of reports
_HEALTH = b"/healthz"
_METHODS = frozenset({b"GET", b"HEAD", b"POST"})
_HOW_TO_ASK = "use GET with a query string, or POST with a JSON object"


class Server:
    """`pass_on` hands connections to other processes, see `HandOvers`; `ask` forwards requests, see `Forwarding`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, compartment: str, pass_on: PassOn = refuse, ask: Ask | None = None
    ) -> None:
        self.loop = loop
        self.compartment = compartment
        self.reactor = Reactor(loop)
        self.heads = HeadReader()
        self.connections: set[Connection] = set()
        self.lines: set[Connection] = set()  # those of them that are no caller's: other workers forward on them
        self.fast: dict[bytes, Route] = {}  # `GET /v1/x`; connections hold this very dict
        self.table: dict[bytes, Target] = {}
        self.draining = False
        self.meter = Meter()
        self.measured = False
        self._sharers = 1
        self._past_requests = 0  # of routes that are gone: a counter never falls
        self.counts: dict[bytes, int] = {}  # by path, when it was last counted
        self._counting: list[bytes] = []
        self.problems = Problems(compartment, http_date(time.time()))
        self._answers = Answers(self.problems)
        self.hand_overs = HandOvers(self, pass_on)
        self.forwarding = Forwarding(self.problems, ask)
        self._sweeping: list[Connection] = []
        self._timers = [loop.call_later(1, self._each_second), loop.call_later(SWEEP_S, self._sweep)]

    @property
    def date(self) -> bytes:
        return self.problems.date

    # -- routes ----------------------------------------------------------------------

    def deploy(self, targets: Mapping[str, Target | None]) -> None:
        """Flips services to their new targets at once; None removes one."""
        for service, target in targets.items():
            path = path_of(service)
            old = self.table.get(path)
            if isinstance(old, Route) and not (isinstance(target, Route) and target.histogram is old.histogram):
                self._past_requests += old.histogram.count
                self.counts.pop(path, None)
            if isinstance(old, Route) and old is not target:
                old.query = old.program.query  # what may refer to the route itself: nobody would collect it soon
            if target is None:
                self.table.pop(path, None)
            else:
                self.table[path] = target
            if isinstance(target, Route):
                target.stamp(self.date)
                if target.rate is not None:
                    target.rate.share(self._sharers)
                target.measure(self.meter if self.measured else None)
                if isinstance(target, SqlRoute) and target.is_select:
                    target.query = partial(self._answers.at_once, target)
                self.fast[b"GET " + path] = target
            else:
                self.fast.pop(b"GET " + path, None)

    def share(self, workers: int) -> None:
        """So many workers serve the compartment: rate limits are divided among them."""
        if workers == self._sharers:
            return
        self._sharers = workers
        for target in self.table.values():
            if isinstance(target, Route) and target.rate is not None:
                target.rate.share(workers)

    def measure(self, on: bool) -> None:
        """Whether it is written down which service takes how much of the loop, and rations hold."""
        self.measured = on
        self.meter.begin(monotonic_ns())
        self.reactor.measure(self.meter if on else None)
        for target in self.table.values():
            if isinstance(target, Route):
                target.measure(self.meter if on else None)

    @property
    def callers(self) -> int:
        """Connections, without the lines of other workers."""
        return len(self.connections) - len(self.lines)

    def count_requests(self) -> int:
        """Requests that routes answered, since the start; beyond COUNT_MAX routes, as some were counted before."""
        if not self._counting:
            self._counting = list(self.table)
        for path in self._counting[-COUNT_MAX:]:
            target = self.table.get(path)
            if isinstance(target, Route):
                self.counts[path] = target.histogram.count
        del self._counting[-COUNT_MAX:]
        return self._past_requests + sum(self.counts.values())

    def target(self, service: str) -> Target | None:
        return self.table.get(path_of(service))

    def accept(self, sock: socket.socket, received: bytes = b"", hops: int = 0) -> Connection:
        """Takes a connected, non-blocking socket, the bytes already read from it, and how often it moved lately."""
        self.reactor.now_ns = monotonic_ns()  # this is no tick of the reactor, and the last may be long ago
        return Connection(self, sock, received, hops)

    # -- answering -------------------------------------------------------------------

    def answer(self, request: Head, content: bytes, *, close: bool) -> bytes | Answering:
        """One whole response, or one that is begun. Errors of any kind become problem documents."""
        target = self.table.get(request.path)
        head_only = request.method == b"HEAD"
        if type(target) is Route:
            started = self.reactor.now_ns
            try:
                data = self._data(target, request, content)
                is_json = request.block.accept == JSON
                if request.minor and not close and not head_only and (is_json or not data):
                    return target.answer(data)
                if data:
                    body = b'{"data":%b}' % data
                    start = head(
                        200, self.date, lasting(target.headers, request, close=close), JSON if is_json else MSGPACK
                    )
                    body = body if is_json else target.transcode(body)
                    return response(start, body, close=close, head_only=head_only)
                return self.problems.response(target.missing, target.headers, request, close=close)
            # An exception kept in a local of a frame it passed is a circle, for the collector to find.
            except HavokError as refused:
                return self._refused(target, request, refused, close=close)
            except Exception as fault:
                error = target.program.fault(fault) or self.problems.internal(request)
                return self.problems.response(self.problems.count(error), target.headers, request, close=close)
            finally:
                target.histogram.record(monotonic_ns() - started)
        if type(target) is SqlRoute:
            try:
                self._admit(target, request, request.block.accept_rows, ANSWER_TYPES)
            except HavokError as refused:
                target.histogram.record(monotonic_ns() - self.reactor.now_ns)
                return self._refused(target, request, refused, close=close)
            return self._answers.begin(target, request, content, close=close)
        if type(target) is Unready and request.method in _METHODS:  # answered, not raised: it is for many requests
            return self.problems.response(
                self.problems.count(target.error), self.problems.headers, request, close=close
            )
        try:
            body = self._built_in(request, target)
            start = head(200, self.date, lasting(self.problems.headers, request, close=close), JSON)
            return response(start, body, close=close, head_only=head_only)
        except HavokError as refused:
            return self.problems.response(self.problems.count(refused), self.problems.headers, request, close=close)

    def _refused(self, route: Route, request: Head, error: HavokError, *, close: bool) -> bytes:
        self.problems.count(error)
        if type(error) is Overloaded and request.minor and not close and request.method != b"HEAD" and self.meter.sheds:
            return route.shed  # for many, and cheap
        return self.problems.response(error, route.headers, request, close=close)

    def _data(self, route: Route, request: Head, content: bytes) -> bytes | None:
        """The JSON of the answer's `data`; nothing when there is no such row."""
        self._admit(route, request, request.block.accept, ROW_TYPES)
        if request.method == b"POST":
            return post(route.program, request, content)
        data = route.query(request.query)
        return route.program.bind_query(request.query) if data is None else data

    def _admit(self, route: Route, request: Head, accepted: str | None, offered: Sequence[str]) -> None:
        self._check_method(request)
        if accepted is None:
            raise NotAcceptable(f"answers come as {' or '.join(offered)}")
        limit = route.limit
        if limit is not None:
            now = self.reactor.now_ns
            if not limit.admit(now):
                raise limit.refusal(route.service, now)

    def go_on(self, answering: Answering | Relay) -> bytes | None:
        """See `Answers.go_on` and `Relay.take`."""
        if type(answering) is Relay:
            return answering.take()
        self.reactor.now_ns = monotonic_ns()  # this is no tick of the reactor
        assert isinstance(answering, Answering)
        return self._answers.go_on(answering)

    def _built_in(self, request: Head, target: Target | None) -> bytes:
        """The answer where there is no route to give one; most often an error."""
        if target is not None:
            self._check_method(request)
        if type(target) is Elsewhere:
            raise self.unreachable(target)
        if request.path == _HEALTH:
            if self.draining:
                raise Draining("this node is shutting down", retry_after_s=1)
            return b'{"status":"ok"}'
        if request.path.startswith(b"/v1/"):
            name = request.path[4:].decode("ascii")[:80]
            raise NoService(f"there is no service {name!r} on this node")
        raise NoService("services are at /v1/SERVICE")

    def _check_method(self, request: Head) -> None:
        if request.method not in _METHODS:
            raise MethodNotAllowed(_HOW_TO_ASK)

    def check_before_body(self, request: Head) -> None:
        """What can be refused before its body is read is refused then."""
        self._check_method(request)
        if request.method == b"POST" and request.block.content_type not in (JSON, MSGPACK):
            raise UnsupportedMedia(f"send the body as {JSON} or {MSGPACK}")

    def refusal(self, error: HavokError, *, close: bool, head_only: bool = False) -> bytes:
        return self.problems.refusal(error, close=close, head_only=head_only)

    def too_slow(self) -> HavokError:
        return RequestTimeout("the request took too long to arrive")

    def unreachable(self, target: Elsewhere) -> HavokError:
        return Overloaded(f"no worker of compartment {target.compartment} can take the connection", retry_after_s=1)

    # -- connections -----------------------------------------------------------------

    def soon(self, callback: Callable[[], None]) -> None:
        self.loop.call_soon(self.run, callback)

    def run(self, callback: Callable[[], None]) -> None:
        """What is called by no tick of the reactor, and may serve requests."""
        if self.measured:
            self.meter.late(callback)
        else:
            callback()

    def drain(self) -> None:
        """From now on every answer is a connection's last."""
        self.draining = True
        for connection in self.connections:
            connection.drain()

    def close_idle(self) -> None:
        """Closes connections that wait for a request; those with one in hand stay."""
        for connection in [connection for connection in self.connections if connection.idle]:
            connection.close()

    def close(self) -> None:
        """Ends everything at once."""
        for timer in self._timers:
            timer.cancel()
        for connection in list(self.connections):
            connection.close()
        self.reactor.close()
        closed = {id(route): route for route in self.table.values() if isinstance(route, Route)}
        for route in closed.values():
            route.program.close()

    # -- time ------------------------------------------------------------------------

    def _each_second(self) -> None:
        now = time.time()
        self.problems.date = http_date(now)
        for route in self.fast.values():
            route.stamp(self.date)
        self._timers[0] = self.loop.call_later(1 - now % 1, self._each_second)

    def _sweep(self) -> None:
        """Ends connections whose phase took too long, a slice of them at a time."""
        if not self._sweeping:
            self._sweeping = list(self.connections)
        now = self.reactor.now_ns = monotonic_ns()
        sweeping = self._sweeping[-SWEEP_MAX:]
        del self._sweeping[-SWEEP_MAX:]
        self._timers[1] = self.loop.call_later(0.005 if self._sweeping else SWEEP_S, self._sweep)
        for connection in sweeping:
            if now - connection.since_ns > PHASE_S_MAX[connection.phase] * 1_000_000_000 and not connection.closed:
                connection.expire()
