"""Answers of SQL services: begun, driven in turns, ended.

Rule: most are done within their first slice and leave at once, as any other answer. The rest
are bounded in number, so that what they hold is; each has its turn between the others.
"""

import re
from functools import partial
from time import monotonic_ns

from engine.forms.media import JSON
from engine.http.answering import SLICE_NS, Answering, Running
from engine.http.call import Call, read_call
from engine.http.head import QUERY, Block, Head
from engine.http.problems import Problems, lasting
from engine.http.responses import head, response
from engine.http.route import SqlRoute, path_of
from engine.params import parse_query
from havok.errors import HavokError, Overloaded, QueryFailed

_QUERY = re.compile(QUERY).fullmatch
_PLAIN = Block(keep_alive=True)
_DATA_BYTES = len(b'{"data":')
UNFINISHED_MAX = 64  # of a worker: each may hold as much as `engine.queries.paging` lets a query keep


class Answers:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.unfinished = 0

    def at_once(self, route: SqlRoute, text: bytes) -> bytes | None:
        """What follows `{"data":` in the JSON answer to a GET with this query string, when it is made in a moment.

        None: it is not, and `route.begun` goes on with it, or is the response to what failed; or it is for `begin`
        to answer, as is what this raises.
        """
        if _QUERY(text) is None or self.unfinished >= UNFINISHED_MAX:
            return None
        started_ns = monotonic_ns()
        running = route.program.start(Call(parse_query(text), JSON, texts=True))
        try:
            made = running.step(started_ns + SLICE_NS)
            if running.done:
                return made[_DATA_BYTES:-1]
            route.begun = self._answering(route, _asked(route, text), running, started_ns, close=False)
            route.begun.add(made)
            self.unfinished += 1
            route.budget.begun = True
        except Exception as error:
            route.begun = self._failed(route, _asked(route, text), False, error, 0)
            route.histogram.record(monotonic_ns() - started_ns)
        finally:
            if not isinstance(route.begun, Answering):
                running.close()
            route.histogram.turns_ns += monotonic_ns() - started_ns
        return None

    def begin(self, route: SqlRoute, request: Head, content: bytes, *, close: bool) -> bytes | Answering:
        """The whole response, when it is made in a moment; also to a request that is refused. Never raises."""
        started_ns = monotonic_ns()
        try:
            return self._respond(route, request, content, started_ns, close=close)
        finally:
            route.histogram.turns_ns += monotonic_ns() - started_ns

    def _respond(
        self, route: SqlRoute, request: Head, content: bytes, started_ns: int, *, close: bool
    ) -> bytes | Answering:
        try:
            begun = self._begin(route, request, content, started_ns, close=close)
        except Exception as error:
            route.histogram.record(monotonic_ns() - started_ns)
            return self._failed(route, request, close, error, 0)
        if isinstance(begun, bytes):
            route.histogram.record(monotonic_ns() - started_ns)
            return begun
        self.unfinished += 1
        message = self._step(begun)
        assert message is not None, "nothing was sent yet"
        if begun.done:
            return message
        if self.unfinished > UNFINISHED_MAX:  # what is done in a moment is not concerned
            begun.close()
            detail = f"{UNFINISHED_MAX} answers that take long are being made already"
            refusal = self._problems.count(Overloaded(detail, retry_after_s=1))
            return self._problems.response(refusal, route.headers, request, close=close)
        begun.begun = message
        route.budget.begun = True
        return begun

    def _begin(
        self, route: SqlRoute, request: Head, content: bytes, started_ns: int, *, close: bool
    ) -> bytes | Answering:
        """A mere look-up is answered. Raises what there is to refuse."""
        media = request.block.accept_rows
        assert media is not None, "the server looked at what is accepted"
        call = read_call(request, content, media)
        head_only = request.method == b"HEAD"
        data = route.program.at_once(call)
        if data is not None:
            if request.minor and not close and not head_only:
                return route.answer(data)
            start = head(200, self._problems.date, lasting(route.headers, request, close=close), media)
            return response(start, b'{"data":%b}' % data, close=close, head_only=head_only)
        return self._answering(route, request, route.program.start(call), started_ns, close=close)

    def _answering(
        self, route: SqlRoute, request: Head, running: Running, started_ns: int, *, close: bool
    ) -> Answering:
        return Answering(
            running,
            head(200, self._problems.date, route.headers, running.media),
            route.histogram,
            route.budget,
            partial(self._ended, route, started_ns),
            partial(self._failed, route, request, close),
            minor=request.minor,
            close=close,
            head_only=request.method == b"HEAD",
        )

    def go_on(self, answering: Answering) -> bytes | None:
        """What can be sent by now. None: it failed after a part was sent, and cannot be saved."""
        started_ns = monotonic_ns()
        if answering.budget.is_measured:
            answering.budget.resume()
        try:
            return self._step(answering)
        finally:
            answering.histogram.turns_ns += monotonic_ns() - started_ns

    def _step(self, answering: Answering) -> bytes | None:
        try:
            return answering.step(monotonic_ns() + SLICE_NS)
        except Exception as error:
            message = answering.fail(error)
            return None if answering.started else message

    def _failed(self, route: SqlRoute, request: Head, close: bool, error: Exception, sent: int) -> bytes:
        """To be called where `error` is being handled; `sent`: bytes of the answer that it came too late for."""
        if not isinstance(error, HavokError):
            error = route.program.fault(error) or self._problems.internal(request)
        seen = error.seen if isinstance(error, QueryFailed) else ""
        if sent or seen:
            late = f"an answer broke off after {sent:,} bytes: " if sent else ""
            sentence = f"{late}{error.code}: {error.detail}{f': {seen!r}' if seen else ''}"
            self._problems.tell(route.service, error.code, sentence, monotonic_ns())
        return self._problems.response(self._problems.count(error), route.headers, request, close=close)

    def _ended(self, route: SqlRoute, started_ns: int) -> None:
        self.unfinished -= 1
        route.histogram.record(monotonic_ns() - started_ns)


def _asked(route: SqlRoute, text: bytes) -> Head:
    """The head of a request that came the fast way."""
    return Head(b"GET", path_of(route.service), text, 1, _PLAIN, 0)
