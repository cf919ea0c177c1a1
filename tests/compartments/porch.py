"""A gate's process between mailboxes that stand for workers and a wire that stands for a supervisor."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from compartments.connections.channel import MESSAGE_BYTES_MAX
from compartments.facts.bus import Wire
from compartments.facts.deployment import Deployment, deploy_key, peers_key
from compartments.facts.ledger import Ledger
from compartments.processes.process import GateSettings
from havok.layout import bulletin_socket, control_socket, make_run_dir
from havok.messages import Report, Resync, decode_inbound, encode
from tests.compartments.client import Client
from tests.compartments.loops import Driver


class Mailbox:
    """A worker's inbox, read by hand."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(5)
        self._sender: socket.socket | None = None

    def take(self, seconds: float = 5) -> tuple[socket.socket, bytes]:
        """The next connection and the bytes that came with it."""
        if self._sender is None:
            self._sender, _ = self._listener.accept()
        self._sender.settimeout(seconds)
        data, fds, _, _ = socket.recv_fds(self._sender, MESSAGE_BYTES_MAX + 2, 4)
        (fd,) = fds
        return socket.socket(fileno=fd), data[2:]

    def close(self) -> None:
        self._listener.close()
        if self._sender is not None:
            self._sender.close()


class Porch:
    """A gate's process, and what a supervisor and two workers would be to it."""

    def __init__(self, drive: Driver, path: Path) -> None:
        self.path = path
        self._drive = drive
        make_run_dir(path)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address: tuple[str, int] = self.listener.getsockname()
        self.ledger = Ledger(1)
        self.reports: list[Report] = []
        self.mailboxes = {name: Mailbox(path / f"{name}.sock") for name in ("one", "two")}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._bulletins = Wire(drive.loop, self._context, zmq.PUB)
        self._bulletins.bind(bulletin_socket(path))
        self._control = Wire(drive.loop, self._context, zmq.ROUTER, self._receive)
        self._control.bind(control_socket(path))
        self.process: subprocess.Popen[bytes] | None = None

    def _receive(self, frames: list[bytes]) -> None:
        message = decode_inbound(frames[-1])
        if isinstance(message, Resync):
            self._control.send([frames[0], encode(self.ledger.state())])
        else:
            assert isinstance(message, Report)
            self.reports.append(message)

    def start(self, *, line_s: float = 5.0, drain_s: float = 3.0, alone_s: float = 5.0, workers: bool = True) -> None:
        if workers:
            self.tell({peers_key(name): [box.path] for name, box in self.mailboxes.items()})
        self.tell({deploy_key("a"): Deployment("a", "one"), deploy_key("b"): Deployment("b", "two")})
        fd = self.listener.fileno()
        settings = GateSettings("gate-1", str(self.path), "here", fd, drain_s, line_s, alone_s)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "compartments.gate", msgspec.json.encode(settings)],
            pass_fds=[fd], stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.until(lambda: self.reports and (self.reports[-1].ready or not workers))

    def tell(self, facts: dict[str, object]) -> None:
        bulletin = self.ledger.change({key: msgspec.msgpack.encode(value) for key, value in facts.items()})
        if bulletin is not None:
            self._bulletins.send([encode(bulletin)])
            if self.process is not None:
                self.until(lambda: self.reports[-1].seq == bulletin.seq)

    def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        self._drive.until(condition, seconds)

    def client(self) -> Client:
        return Client(self.address)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for wire in (self._bulletins, self._control):
            wire.close()
        self._context.term()
        self.listener.close()
        for box in self.mailboxes.values():
            box.close()
