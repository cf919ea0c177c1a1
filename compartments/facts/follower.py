"""A process's link to the supervisor: it follows the facts and reports what it does.

Rule: facts arrive through `on_change(entries)`, in order and whole; `report()` is asked for
every REPORT_S and whenever `acknowledge` says something changed. Without a supervisor
nothing stops: the facts stay as they were.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

import zmq

from compartments.facts.bus import Wire
from compartments.facts.replica import Replica
from havok.layout import bulletin_socket, control_socket
from havok.messages import Order, Report, Resync, State, decode_broadcast, decode_outbound, encode

REPORT_S = 0.1
CHECK_S = 0.05  # how soon a hole is asked about again


class Follower:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        data_dir: Path,
        process: str,
        on_change: Callable[[dict[str, bytes]], None],
        report: Callable[[int, int], Report],
        obey: Callable[[Order], None] = lambda _: None,
    ) -> None:
        """`report(epoch, seq)` makes the report of the facts acted on. `obey`: what is told to this process alone."""
        self._loop = loop
        self._process = process
        self._on_change = on_change
        self._report = report
        self._obey = obey
        self.replica = Replica()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._bulletins = Wire(loop, self._context, zmq.SUB, self._hear)
        self._bulletins.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._bulletins.connect(bulletin_socket(data_dir))
        self._control = Wire(loop, self._context, zmq.DEALER, self._answered)
        self._control.connect(control_socket(data_dir))
        self._acknowledging = self._closed = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._check()
        self._report_regularly()

    def _hear(self, frames: list[bytes]) -> None:
        for frame in frames:
            if self.replica.receive(decode_broadcast(frame)):
                self._on_change(self.replica.entries)
                self.acknowledge()
        self._ask_if_due()

    def _answered(self, frames: list[bytes]) -> None:
        message = decode_outbound(frames[-1])
        if isinstance(message, State) and self.replica.receive(message):
            self._on_change(self.replica.entries)
            self.acknowledge()
        elif isinstance(message, Order):
            self._obey(message)

    def _check(self) -> None:
        self._ask_if_due()
        self._timers["check"] = self._loop.call_later(CHECK_S, self._check)

    def _ask_if_due(self) -> None:
        if self.replica.resync_due(monotonic_ns()):
            self._control.send([encode(Resync(self._process))])

    def _report_regularly(self) -> None:
        self.acknowledge()
        self._timers["report"] = self._loop.call_later(REPORT_S, self._report_regularly)

    def acknowledge(self) -> None:
        """Reports soon; several changes within one tick make one report."""
        if not self._acknowledging:
            self._acknowledging = True
            self._loop.call_soon(self._send_report)

    def _send_report(self) -> None:
        if self._closed:
            return
        self._acknowledging = False
        self._control.send([encode(self._report(self.replica.epoch, self.replica.seq))])

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._closed = True  # nothing more is sent
        self._bulletins.close()
        self._control.close()
        self._context.term()
