"""ZeroMQ sockets inside the event loop, and the supervisor's end of the bus.

Rule: frames in and out, nothing decided here. A ZeroMQ descriptor is edge-triggered: after
any use of the socket everything must be drained, or an edge is lost; `Wire` does so after
each send and each wake-up.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from havok.layout import bulletin_socket, control_socket
from havok.messages import Broadcast, Outbound, encode

log = logging.getLogger(__name__)

QUEUE_MAX = 10_000  # messages; beyond it PUB drops, and numbers show the hole
FRAME_BYTES_MAX = 64 * 1024 * 1024  # a State of thousands of plans is a few MB
_BURST_MAX = 256  # messages taken in one go, so that a flood cannot hold the loop


class Wire:
    """One socket; `receive(frames)` is called in the loop for every message."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: "zmq.Context[zmq.Socket[bytes]]",
        kind: int,
        receive: Callable[[list[bytes]], None] | None = None,
    ) -> None:
        self._loop = loop
        self._receive = receive
        self.socket: zmq.Socket[bytes] = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, QUEUE_MAX)
        self.socket.setsockopt(zmq.RCVHWM, QUEUE_MAX)
        self.socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        self._fd = int(self.socket.getsockopt(zmq.FD))
        self._draining = False
        if receive is not None:
            loop.add_reader(self._fd, self._drain)

    def bind(self, address: str) -> None:
        self.socket.bind(address)

    def connect(self, address: str) -> None:
        self.socket.connect(address)
        if self._receive is not None:
            self._loop.call_soon(self._drain)

    def send(self, frames: Sequence[bytes]) -> bool:
        """False when the queue is full, the peer gone or this end closed; nothing blocks."""
        if self.socket.closed:
            return False
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        if self._receive is not None:
            self._loop.call_soon(self._drain)
        return True

    def _drain(self) -> None:
        if self._draining or self.socket.closed or self._receive is None:
            return
        self._draining = True
        try:
            for _ in range(_BURST_MAX):
                if not int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                    return
                self._hand(self.socket.recv_multipart(zmq.NOBLOCK))
                if self.socket.closed:
                    return
        except zmq.Again:
            return
        finally:
            self._draining = False
        self._loop.call_soon(self._drain)

    def _hand(self, frames: list[bytes]) -> None:
        """A message that its receiver fails on is logged; those behind it are heard all the same."""
        assert self._receive is not None
        try:
            self._receive(frames)
        except Exception:
            log.exception("a message of %d bytes was not handled", sum(map(len, frames)))

    def close(self) -> None:
        if not self.socket.closed:
            if self._receive is not None:
                self._loop.remove_reader(self._fd)
            self.socket.close()


class Bus:
    """The supervisor's two sockets; `receive(frames)` is called for what followers and commands send."""

    def __init__(self, receive: Callable[[list[bytes]], None]) -> None:
        loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._bulletins = Wire(loop, self._context, zmq.PUB)
        self._control = Wire(loop, self._context, zmq.ROUTER, receive)

    def open(self, data_dir: Path) -> None:
        """From now on there is somebody to hear; what is broadcast before, nobody hears."""
        self._bulletins.bind(bulletin_socket(data_dir))
        self._control.bind(control_socket(data_dir))

    def broadcast(self, message: Broadcast) -> None:
        self._bulletins.send([encode(message)])

    def answer(self, identity: bytes, message: Outbound) -> None:
        self._control.send([identity, encode(message)])

    def close(self) -> None:
        self._control.close()
        self._bulletins.close()
        self._context.term()
