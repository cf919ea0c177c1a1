"""A server on a real uvloop loop and clients on real sockets, all driven by one thread.

Rule: nothing sleeps. `Client.pump` turns the loop until the server has nothing more to do
for it: on a socket pair whatever was sent is there to be read at once.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

import msgspec
import uvloop

from engine.http.answering import Answering
from engine.http.connection import Connection
from engine.http.forwarding import Ask
from engine.http.hand_overs import PassOn, refuse
from engine.http.head import Head
from engine.http.peer import AWAITING, PAUSED, PHASE_S_MAX
from engine.http.route import Elsewhere, Target
from engine.http.server import Server

QUIET_TURNS = 4  # a tick, an `advance` put off, a write: more than any one step needs
PATIENCE_S = 20.0

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]+\r\n")


class Answer(msgspec.Struct, frozen=True):
    """A response as a client sees it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        value = msgspec.json.decode(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def code(self) -> object:
        """Of a problem document, which says the same as the status line."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = self.json()
        assert problem["status"] == self.status
        assert problem["type"] == f"/problems/{problem['code']}"
        assert problem["detail"]
        return problem["code"]

    @property
    def data(self) -> object:
        """Of a success, whichever way it is rendered."""
        assert self.status == 200, self
        packed = self.headers["content-type"] == "application/msgpack"
        assert packed or self.headers["content-type"] == "application/json"
        value = msgspec.msgpack.decode(self.body) if packed else msgspec.json.decode(self.body)
        assert list(value) == ["data"]
        return value["data"]

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


def parse_answers(data: bytes, methods: Iterable[str] = (), *, odd: bool = False) -> list[Answer]:
    """A byte stream → whole answers; `methods` of the requests, where one is HEAD.

    `odd`: a refusal at the end may lack its body, what it refused having begun with HEAD.
    """
    asked = iter(methods)
    answers = []
    while data:
        head, blank, rest = data.partition(b"\r\n\r\n")
        assert blank, f"an answer without an end: {data[:200]!r}"
        lines = (head + b"\r\n").split(b"\r\n", 1)
        match = _STATUS.fullmatch(lines[0] + b"\r\n")
        assert match, f"no status line: {lines[0]!r}"
        pairs = [line.split(": ", 1) for line in lines[1].decode("latin-1").splitlines()]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header is repeated: {head!r}"
        status = int(match[1])
        size = 0
        if status >= 200 and next(asked, "GET") != "HEAD":
            size = 0 if odd and not rest and headers.get("connection") == "close" else int(headers["content-length"])
        assert len(rest) >= size, f"the body is short: {data[:300]!r}"
        answers.append(Answer(status, headers, rest[:size]))
        data = rest[size:]
    return answers


class Recorder(Server):
    """A server that remembers, where asked to, the requests it answered the general way."""

    recorded: list[tuple[Head, bytes]] | None = None

    def answer(self, request: Head, content: bytes, *, close: bool) -> bytes | Answering:
        if self.recorded is not None:
            self.recorded.append((request, content))
        return super().answer(request, content, close=close)


class Wire:
    """A server and the loop it lives on."""

    def __init__(self, pass_on: PassOn = refuse, ask: Ask | None = None) -> None:
        self.loop = uvloop.new_event_loop()
        self.server = Recorder(self.loop, "travel-high", pass_on, ask)
        self._clients: list[Client] = []

    def record(self) -> list[tuple[Head, bytes]]:
        """The requests answered the general way from now on."""
        self.server.recorded = []
        return self.server.recorded

    def deploy(self, **targets: Target | None) -> None:
        self.server.deploy(targets)

    def client(self, received: bytes = b"", *, send_buffer: int | None = None, tcp: bool = False) -> "Client":
        """A connected client; `send_buffer`: how much the server's side takes unread."""
        ours, theirs = _tcp_pair() if tcp else socket.socketpair()
        if send_buffer is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, send_buffer)
        ours.setblocking(False)
        theirs.setblocking(False)
        client = Client(self, ours, self.server.accept(theirs, received))
        self._clients.append(client)
        return client

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))

    def turn_until(self, done: Callable[[], bool]) -> None:
        deadline = monotonic() + PATIENCE_S
        while not done():
            assert monotonic() < deadline, "nothing came of it"
            self.turn()

    def sweep(self) -> None:
        """Looks for deadlines now, as the timer would."""
        self.server._timers[1].cancel()
        self.server._sweep()

    def close(self) -> None:
        for client in self._clients:
            client.socket.close()
        self.server.close()
        self.turn()
        self.loop.close()


class Client:
    def __init__(self, wire: Wire, sock: socket.socket, connection: Connection) -> None:
        self.wire = wire
        self.socket = sock
        self.connection = connection
        self.received = b""
        self.ended = False  # the server closed, or said it will not write any more

    def read(self) -> int:
        """What is there; how many bytes that was."""
        size = 0
        while not self.ended:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.ended = True
                break
            self.ended = not data
            self.received += data
            size += len(data)
        return size

    def pump(self) -> bytes:
        """Turns the loop until no more comes; everything received so far."""
        quiet = 0
        while quiet < QUIET_TURNS:
            self.wire.turn()
            busy = self.connection.phase in (PAUSED, AWAITING) and self.connection._answering is not None
            quiet = 0 if self.read() or busy else quiet + 1
        return self.received

    def send(self, data: bytes) -> None:
        """All of it, however slowly the server takes it."""
        view = memoryview(data)
        deadline = monotonic() + PATIENCE_S
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                self.wire.turn()
                self.read()
                assert monotonic() < deadline, "the server does not read"
            except (BrokenPipeError, ConnectionResetError):
                return

    def talk(self, *pieces: bytes, methods: Sequence[str] = ()) -> list[Answer]:
        """Sends the pieces one by one, each met by the server before the next; what came back."""
        self.received = b""
        for piece in pieces:
            self.send(piece)
            if len(pieces) > 1:
                self.wire.turn(2)
                self.read()
        self.pump()
        return parse_answers(self.received, methods)

    def late(self, phase: int) -> None:
        """As if the connection had been in its phase for just longer than it may."""
        assert self.connection.phase == phase
        self.connection.since_ns -= PHASE_S_MAX[phase] * 1_000_000_000
        self.wire.sweep()

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """The one answer to one request."""
        answers = self.talk(data, methods=[method])
        assert len(answers) == 1, answers
        return answers[0]


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: havok.test", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(target: str, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    framing = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return get(target, *framing, *headers, method="POST") + body


def chunked(target: str, *chunks: bytes, trailers: bytes = b"") -> bytes:
    head = get(target, "Transfer-Encoding: chunked", method="POST")
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join([head, *parts, b"0\r\n", trailers, b"\r\n"])


def elsewhere(service: str = "airport", compartment: str = "travel-low") -> Elsewhere:
    return Elsewhere(service, compartment)


def codes_of(answers: Iterable[Answer]) -> list[str]:
    """The airports that were answered."""
    rows = [answer.data for answer in answers]
    return [str(row["faa"]) for row in rows if isinstance(row, dict)]


def undated(answers: Iterable[Answer]) -> list[tuple[int, dict[str, str], bytes]]:
    """Answers as they compare between two runs, which may fall into different seconds."""
    return [
        (answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body)
        for answer in answers
    ]


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for side in (ours, theirs):
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs
