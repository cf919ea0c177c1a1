"""One client connection on a raw, non-blocking socket: bytes in, bytes out.

Rule: requests are answered in order, one at a time, and whatever does not fit is a reason
to stop reading. State is data (`phase`, `since_ns`, `buffer`, `pending`), so that between
two requests a connection can be given away: its socket and the bytes read so far.

Two ways through. A client on a keep-alive connection sends the same header block again
and again; once read strictly by `head`, its bytes are kept as `tail`, and a later read
that ends in the same bytes, with a known path and a query in canonical form before them,
can only be one whole GET of the same kind: it is answered on the spot. Everything else
takes the general way through `advance`.
"""

import os
import re
import socket
from time import monotonic_ns
from typing import TYPE_CHECKING

from engine.histogram import LINEAR
from engine.http.answered import Answered
from engine.http.answering import Answering
from engine.http.body import Body, ChunkedBody, LengthBody
from engine.http.head import Head
from engine.http.peer import BODY, BODY_RECV_BYTES, HEAD, IDLE, PAUSED, PENDING_BYTES_MAX
from engine.http.reactor import NOTHING
from engine.http.responses import CONTINUE, LENGTHS, LENGTHS_MAX, WRAP_BYTES
from engine.http.route import Elsewhere
from engine.http.shedding import note_served, note_shed, rest_if_shed, shed
from havok.errors import HavokError

if TYPE_CHECKING:
    from engine.http.server import Server

RECV_BYTES = 4096  # a request without a body fits; a larger read costs more in malloc
PIPELINE_MAX = 64  # requests in hand at once: answers are then written before reading on
HELD_NS_MAX = 1_000_000_000  # while nobody takes the connection: a worker that was restarted is back by then

_read = os.read
_write = os.write
_join = b"".join
_empty_lines = re.compile(rb"(?:\r\n)+").match


class Connection(Answered):
    __slots__ = ("_body", "_head", "_raw", "_tail_size", "routes", "tail")

    def __init__(self, server: "Server", sock: socket.socket, received: bytes = b"", hops: int = 0) -> None:
        """`sock` must be non-blocking; `received` are bytes already read from it; `hops`: see `passage`."""
        super().__init__(server, sock, received, hops)
        self.routes = server.fast
        self.tail = b""
        self._tail_size = 0  # len(tail) while the fast way is open, else 0
        self._head: Head | None = None
        self._body: Body | None = None
        self._raw = b""  # the head in hand as it came, while its body is read
        self.reactor.add(self.fd, self.on_readable)
        if received:
            self.advance()

    # -- reading ---------------------------------------------------------------------

    def on_readable(self) -> None:
        """The fast way, when the read is one whole GET like the one before."""
        try:
            data = _read(self.fd, RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        size = self._tail_size
        if size and data.endswith(self.tail):
            path, _, text = data[:-size].partition(b"?")
            route = self.routes.get(path)
            if route is not None:
                now = self.reactor.now_ns
                limit = route.limit
                if limit is None or limit.admit(now):
                    try:
                        row = route.query(text)
                    except Exception:  # the general way meets it again and words the answer
                        row = None
                    if row is not None:
                        if not row:
                            out = route.miss
                        elif len(row) < LENGTHS_MAX:
                            out = _join((route.start, LENGTHS[len(row)], row, b"}"))
                        else:
                            size = len(row) + WRAP_BYTES
                            out = _join((route.start, b'Content-Length: %d\r\n\r\n{"data":' % size, row, b"}"))
                        self.since_ns = now
                        try:
                            sent = _write(self.fd, out)
                        except BlockingIOError:
                            sent = 0
                        except OSError:
                            self.close()
                            return
                        if sent != len(out):
                            self.block(memoryview(out)[sent:])
                        slot = (monotonic_ns() - now) >> 10
                        if slot < LINEAR:
                            route.linear[slot] += 1
                        else:
                            route.histogram.record(slot << 10)
                        return
                    begun, route.begun = route.begun, None
                    if begun is not None:
                        self._tail_size = 0
                        note_served(self)
                        if isinstance(begun, bytes):
                            self.add(begun)
                            self._settle(busy=False)
                        else:
                            self._await(begun)
                        return
                    if limit is not None:
                        limit.forgive()  # the general way asks for it again
                elif limit.sheds:
                    shed(self, route)
                    return
        self._receive(data)

    def on_body_readable(self) -> None:
        try:
            data = _read(self.fd, BODY_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if not data:
            self.close()  # whole requests are answered already; a part of one cannot be
            return
        self._tail_size = 0
        self.buffer = self.buffer + data if self.buffer else data
        self.advance()

    # -- serving ---------------------------------------------------------------------

    def advance(self) -> None:
        """Serves whole requests in the buffer, at most PIPELINE_MAX, then writes."""
        if self.closed:
            return
        served, busy = 0, False
        table = self.server.table
        if self._answering is not None and not self._go_on(self._answering):
            return
        try:
            while not self.closing and served < PIPELINE_MAX and self._out_bytes < PENDING_BYTES_MAX:
                head = self._head
                if head is None:
                    head = self._take_head()
                    if head is None:
                        break
                    target = table.get(head.path)
                    if type(target) is Elsewhere:
                        if not self.flush():
                            return
                        if not self._is_forwarded(target):
                            self._hand_over(target)
                            return
                        if self._whole or not head.block.has_body:
                            self._forward(head, target)
                            return
                    self._begin(head)
                if self._body is not None:
                    if not self._take_body(self._body):
                        break
                    if type(table.get(head.path)) is Elsewhere:  # it is to go whole, or moved while the body came
                        self._unread(head, self._body.content())
                        continue
                if not self._serve(head):
                    return
                served += 1
            else:
                busy = True
        except HavokError as error:
            self._refuse(error)
        self._settle(busy=busy)

    def _take_head(self) -> Head | None:
        """The next head, left in the buffer until `_begin`; None when it is not all there."""
        buffer = self.buffer
        if buffer[:2] == b"\r\n":  # RFC 9112, 2.2: empty lines before a request are ignored
            buffer = self.buffer = buffer[_empty_lines(buffer).end() :]  # type: ignore[union-attr]
        return self.server.heads.take(buffer) if buffer else None

    def _begin(self, head: Head) -> None:
        """Leaves the head behind and gets ready for its body."""
        buffer, size = self.buffer, head.size
        self.buffer = buffer[size:]
        self._head = head
        self._whole = 0
        block = head.block
        self.tail = b""
        if head.method == b"GET" and size == len(buffer) <= RECV_BYTES and head.minor and block.is_plain:
            self.tail = buffer[buffer.index(b" ", 4) :] if buffer.startswith(b"GET /") else b""
        elif block.has_body:
            self.server.check_before_body(head)
            self._raw = buffer[:size]
            self._body = ChunkedBody() if block.chunked else LengthBody(block.length or 0)
            if block.expects_continue and not self.buffer:
                self.add(CONTINUE)

    def _unread(self, head: Head, content: bytes) -> None:
        """Puts a whole request back as it came, or in other chunks, to be handed over or forwarded."""
        if head.block.chunked:
            content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
        self._whole = len(self._raw) + len(content)
        self.buffer = b"".join((self._raw, content, self.buffer))
        self._head = self._body = None

    def _take_body(self, body: Body) -> bool:
        """True when the request is whole."""
        if self.buffer:
            self.buffer = self.buffer[body.feed(self.buffer) :]
        return body.complete

    def _serve(self, head: Head) -> bool:
        """False when the answer is yet to be made: nothing else is served before."""
        body = self._body
        self._head = self._body = None
        self.closing = not head.block.keep_alive or self.server.draining
        content = b""
        if body is not None:
            content = body.content()
            self._raw = b""
        answer = self.server.answer(head, content, close=self.closing)
        if self.server.meter.sheds:
            note_shed(self)
        else:
            note_served(self)
        if type(answer) is bytes:
            self.add(answer)
            return True
        assert isinstance(answer, Answering)
        self._await(answer)
        return False

    def rest(self) -> None:
        """It waited for a request where it comes from, and waits here for as long as any other."""
        self.wait(IDLE, self.on_readable)

    def _refuse(self, error: HavokError) -> None:
        """A request that cannot be framed or served: answer, then close."""
        head_only = self.buffer.startswith(b"HEAD ") if self._head is None else self._head.method == b"HEAD"
        self._head = self._body = None
        self.closing = True
        self.buffer = b""
        self.add(self.server.refusal(error, close=True, head_only=head_only))

    # -- writing ---------------------------------------------------------------------

    def _settle(self, *, busy: bool) -> None:
        """After serving: write, then wait for what comes next."""
        if self.closed or not self.flush():
            return
        if self.closing:
            self.finish()
        elif busy and self.buffer:  # others first; until then nothing more is read
            self.wait(PAUSED, self.close, NOTHING)
            self.server.soon(self.advance)
        elif self._body is not None:
            self.wait(BODY, self.on_body_readable)
        elif self.server.hand_overs.leaving and self.server.hand_overs.hand_over(self, self.server.compartment):
            return
        elif self.buffer:
            self.wait(HEAD, self.on_readable)
        else:
            self.wait(IDLE, self.on_readable)
            self._tail_size = len(self.tail)
            if self.server.measured:
                rest_if_shed(self, self.server.meter.rest_s)

    def _hand_over(self, target: Elsewhere) -> None:
        """To whoever serves that, or it waits for somebody who does. Raises Overloaded when it did for long enough."""
        if not self.server.hand_overs.hand_over(self, target.compartment) and not self._hold():
            raise self.server.unreachable(target)

    def _hold(self) -> bool:
        """Nobody takes the connection now: it is tried again soon; False when that was done for long enough."""
        if self.phase == PAUSED and self.reactor.now_ns - self.since_ns > HELD_NS_MAX:
            return False
        if not self.server.hand_overs.try_again(self):
            return False
        self.wait(PAUSED, self.close, NOTHING)
        return True

    # -- ending ----------------------------------------------------------------------

    def block(self, rest: memoryview) -> None:
        self._tail_size = 0
        super().block(rest)

    def finish(self) -> None:
        self._tail_size = 0
        super().finish()

    def expire(self) -> None:
        """The phase took too long: a request that was begun is told so."""
        if self.phase == BODY or (self.phase == HEAD and self.buffer):
            self._refuse(self.server.too_slow())
            self._settle(busy=False)
        else:
            self.close()

    def drain(self) -> None:
        """The next answer is the last; see `Server.drain`."""
        self._tail_size = 0
        self.tail = b""

    @property
    def idle(self) -> bool:
        return not self.closed and (self.phase == IDLE or (self.phase == HEAD and not self.buffer))

    @property
    def parcel(self) -> tuple[socket.socket, bytes, int]:
        """Between two requests, what another process needs to serve on: the socket, the bytes read, the hops."""
        assert not self.pending, "answers come before the hand-over"
        assert self._head is None
        return self.sock, self.buffer, 0 if self.habit is None else self.habit.hops(self.reactor.now_ns)
