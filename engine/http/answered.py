"""A client that is answered over time: by what is made a slice at a time, or by another worker.

Rule: nothing else of the connection is served before that answer is through, and nothing more
is read. When it is time to go on is the answer's to say; how to begin one is not decided here.
"""

import socket
from typing import TYPE_CHECKING

from engine.http.answering import Answering
from engine.http.head import Head
from engine.http.passage import LINE, Habit
from engine.http.peer import AWAITING, PAUSED, Peer
from engine.http.reactor import HANGUP, NOTHING, READ
from engine.http.relay import Relay
from engine.http.route import Elsewhere

if TYPE_CHECKING:
    from engine.http.server import Server


class Answered(Peer):
    __slots__ = ("_answering", "_whole", "buffer", "habit")

    def __init__(self, server: "Server", sock: socket.socket, received: bytes, hops: int) -> None:
        super().__init__(server, sock)
        self.buffer = received
        self.habit: Habit | None = Habit(hops, self.since_ns) if hops else None  # made when it is looked at first
        self._answering: Answering | Relay | None = None
        self._whole = 0  # bytes of the request at the start of the buffer, where its body was read and put back
        if hops == LINE:
            server.lines.add(self)  # type: ignore[arg-type]

    # -- an answer that takes its time -------------------------------------------------

    def _await(self, answer: Answering | Relay) -> None:
        self._answering = answer
        answer.wake = self._wake
        self.add(answer.begun)
        self._pause(answer)

    def _go_on(self, answering: Answering | Relay) -> bool:
        """Sends what there is of an answer by now; True when that was all."""
        message = self.server.go_on(answering)
        if message is None:  # its beginning is on its way: only an end too early says that it failed
            self.close()
            return False
        self.add(message)
        if answering.done:
            self._answering = None
            self.closing = self.closing or answering.closes
            self.since_ns = self.reactor.now_ns
            if self.habit is not None and type(answering) is Relay:
                self.habit.forwarded(self.since_ns)
            return True
        self._pause(answering)
        return False

    def _pause(self, answering: Answering | Relay) -> None:
        """Others first: it goes on when the peer took what was sent and there is more.

        While the answer is made elsewhere, where it holds a place, a caller who ends its side is taken for gone: to
        know whether it still reads there is no way but to write, and few send FIN and read on. Answers made here are
        soon done, and such a caller gets them; what another worker makes of it is that one's to decide.
        """
        if not self.flush():
            return
        if answering.waiting:
            self.wait(AWAITING, self._on_early, READ)
        else:
            self.wait(PAUSED, self.close, NOTHING)  # an error or hang-up is reported all the same
            self.server.soon(self.advance)

    def _on_early(self) -> None:
        """More requests, which wait, or the end: only from here on is it worth a system call to tell them apart."""
        self.reactor.change(self.fd, self._on_hangup, HANGUP)

    def _on_hangup(self) -> None:
        if type(self._answering) is Relay and self._answering.hang_up():
            self.reactor.change(self.fd, self.close, NOTHING)
        else:
            self.close()

    def _wake(self) -> None:
        if self.phase == AWAITING:
            self.server.run(self.advance)

    def close(self) -> None:
        answering, self._answering = self._answering, None
        try:
            if answering is not None:
                answering.close()
        finally:
            super().close()

    # -- a request that is another compartment's ---------------------------------------

    def _is_forwarded(self, target: Elsewhere) -> bool:
        """Whether the connection stays while its next request goes there."""
        server = self.server
        if server.draining or server.hand_overs.leaving:
            return False
        habit = self.habit
        if habit is None:
            habit = self.habit = Habit(0, self.since_ns)
        return not server.forwarding.takes_along(habit, target, self.since_ns, self.reactor.now_ns)

    def _forward(self, head: Head, target: Elsewhere) -> None:
        """The request is all there, at the start of the buffer."""
        size = self._whole or head.size
        request, self.buffer = self.buffer[:size], self.buffer[size:]
        self._whole = 0
        self.closing = not head.block.keep_alive
        relay = self.server.forwarding.begin(request, head, target, self.reactor.now_ns, close=self.closing)
        self._await(relay)
