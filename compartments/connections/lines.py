"""Lines to the workers of other compartments: socket pairs whose other ends they serve.

Rule: no protocol of its own. The other end of a pair goes to a worker's inbox as any client's
connection does; that it is a line is all that is said of it. A request takes an idle line of the
worker that has the fewest busy ones (in turn), else a new line, else it waits, each for a bounded time and
all in bounded number. Where a worker leaves, its ends of lines move to a sibling with all other
connections; here its lines carry what they carry to the end and no more.
"""

import asyncio
import socket
from collections import deque
from time import monotonic_ns

from compartments.connections.channel import Outbox
from compartments.connections.peers import Peers
from engine.http.passage import LINE
from engine.http.reactor import Reactor
from engine.http.relay import Line, Relay

# To one worker. It makes no more than 64 long answers at once (engine.http.answers); as many
# again are for short ones beside them. Each line is a descriptor here and one there.
LINES_MAX = 128
WAITING_MAX = 1024  # of a compartment: a second of requests of 1 ms; who comes later would not be served in time
WAITING_NS_MAX = 3_000_000_000  # for a line: a worker that was restarted is back in 0.5 s, on a busy machine in 2
# Where it failed a request is not tried again before: a process that is killed closes its sockets one by
# one and takes connections until the last; by then its supervisor has told of its end.
FAILED_NS = 250_000_000
IDLE_NS_MAX = 30_000_000_000  # its other end would be ended as an idle connection after 60 s
TRY_AGAIN_S = 0.01  # while requests wait for a line
SWEEP_S = 0.25


class Lines:
    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Reactor, peers: Peers, outbox: Outbox) -> None:
        self._loop = loop
        self._reactor = reactor
        self._peers = peers
        self._outbox = outbox
        self._places: set[str] = set()  # where lines may lead
        self._turn = 0
        self._idle: dict[str, list[Line]] = {}  # by the worker's inbox; the one used last at the end
        self._busy: dict[str, set[Line]] = {}
        self._waiting: dict[str, deque[Relay]] = {}  # by compartment
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._idle.values())) + sum(map(len, self._busy.values()))

    # -- asking ------------------------------------------------------------------------

    def ask(self, relay: Relay) -> None:
        """Sends it, has it wait, or fails it."""
        compartment = relay.target.compartment
        waiting = self._waiting.get(compartment)
        if not waiting and self._send(relay):
            return
        if waiting is None:
            waiting = self._waiting[compartment] = deque()
        if len(waiting) >= WAITING_MAX:
            self._fail(relay, f"{WAITING_MAX} requests wait for workers of compartment {compartment} already")
        else:
            waiting.append(relay)
            self._sweep_in(TRY_AGAIN_S)

    def _send(self, relay: Relay) -> bool:
        """False when no worker can be had."""
        paths = self._peers.of(relay.target.compartment)
        if relay.failed_at is not None and monotonic_ns() - relay.since_ns < FAILED_NS:
            paths = [path for path in paths if path != relay.failed_at]
        if len(paths) > 1:
            self._turn += 1  # of those that are as busy: each admits its equal share of a rate
            turn = self._turn % len(paths)
            paths = sorted((*paths[turn:], *paths[:turn]), key=self._load)
        for path in paths:
            line = self._line(path)
            if line is not None:
                self._busy[path].add(line)
                line.ask(relay)
                return True
        return False

    def _load(self, path: str) -> int:
        return len(self._busy.get(path, ()))

    def _line(self, path: str) -> Line | None:
        idle = self._idle.get(path)
        if idle:
            return idle.pop()
        if len(self._busy.setdefault(path, set())) >= LINES_MAX:
            return None
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # out of descriptors
            return None
        ours.setblocking(False)
        with theirs:
            if not self._outbox.send(path, theirs, b"", LINE):
                ours.close()
                return None
        self._sweep_in(SWEEP_S)
        return Line(self._reactor, ours, path, self)

    def _fail(self, relay: Relay, detail: str) -> None:
        relay.fail(detail)
        if not relay.closed:
            self._loop.call_soon(relay.wake)  # it may be in the midst of being asked

    # -- what lines say ----------------------------------------------------------------

    def is_free(self, line: Line) -> None:
        self._busy[line.place].discard(line)
        if line.place not in self._places:
            line.lose()
            return
        self._idle.setdefault(line.place, []).append(line)
        if self._waiting:
            self._serve_all()

    def is_lost(self, line: Line, relay: Relay | None, *, untouched: bool) -> None:
        self._busy.get(line.place, set()).discard(line)
        idle = self._idle.get(line.place)
        if idle is not None and line in idle:
            idle.remove(line)
        if relay is None or relay.closed:
            return
        if relay.again(line.place, untouched=untouched):
            relay.since_ns = monotonic_ns()
            self.ask(relay)
        else:
            self._fail(relay, f"the worker of compartment {relay.target.compartment} that had the request ended")

    # -- as time goes by ---------------------------------------------------------------

    def _serve_waiting(self, compartment: str) -> None:
        waiting = self._waiting[compartment]
        while waiting:
            if not waiting[0].closed and not self._send(waiting[0]):
                return
            waiting.popleft()
        del self._waiting[compartment]

    def keep(self) -> None:
        """Workers came or went."""
        self._places = self._peers.paths
        for path in self._idle.keys() - self._places:
            for line in self._idle.pop(path):
                line.lose()
        for path in [path for path, busy in self._busy.items() if not busy and path not in self._places]:
            del self._busy[path]
        self._serve_all()

    def _serve_all(self) -> None:
        for compartment in list(self._waiting):
            self._serve_waiting(compartment)

    def _sweep_in(self, seconds: float) -> None:
        due_s = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= due_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now_ns = monotonic_ns()
        for compartment, waiting in list(self._waiting.items()):
            self._serve_waiting(compartment)
            while waiting and now_ns - waiting[0].since_ns > WAITING_NS_MAX:
                self._fail(waiting.popleft(), f"no worker of compartment {compartment} can take the request")
            if not waiting:
                self._waiting.pop(compartment, None)
        for idle in self._idle.values():
            for line in [line for line in idle if now_ns - line.since_ns > IDLE_NS_MAX]:
                line.lose()
        for line in [line for busy in self._busy.values() for line in busy]:
            self._end_if_late(line, now_ns)
        if len(self) or self._waiting:
            self._sweep_in(TRY_AGAIN_S if self._waiting else SWEEP_S)

    def _end_if_late(self, line: Line, now_ns: int) -> None:
        """While its client reads nothing the client is what is waited for; see `Peer.expire`."""
        relay = line.relay
        if relay is not None and not relay.is_full and now_ns - relay.since_ns > relay.target.answer_s * 1e9:
            relay.line = line.relay = None
            line.lose()
            self._fail(relay, f"compartment {relay.target.compartment} did not answer in {relay.target.answer_s:g} s")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for lines in (*self._idle.values(), *self._busy.values()):
            for line in list(lines):
                if line.relay is not None:
                    line.relay.closed = True
                line.lose()
        self._waiting.clear()
