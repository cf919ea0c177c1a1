"""Listening sockets lent between processes."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from compartments.processes.listeners import Lender, borrow, lending_path
from engine.http.reactor import Reactor
from tests.compartments.loops import Driver, driver


@pytest.fixture
def drive() -> Iterator[Driver]:
    with driver() as made:
        yield made


def in_thread(drive: Driver, paths: list[str]) -> dict[str, socket.socket]:
    found: list[dict[str, socket.socket]] = []
    thread = Thread(target=lambda: found.append(borrow(paths)))
    thread.start()
    drive.until(lambda: bool(found))
    thread.join()
    return found[0]


def test_what_is_borrowed_is_the_same_socket(drive: Driver, tmp_path: Path) -> None:
    reactor = Reactor(drive.loop)
    path = lending_path(str(tmp_path / "w-1.sock"))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        lender = Lender(reactor, path, {"node": one.fileno(), "own": two.fileno()})
        borrowed = in_thread(drive, [str(tmp_path / "nobody.ports"), path])
        assert {name: sock.getsockname() for name, sock in borrowed.items()} == {
            "node": one.getsockname(),
            "own": two.getsockname(),
        }
        assert not any(sock.get_inheritable() for sock in borrowed.values())
        address = one.getsockname()
    with socket.create_connection(address):
        taken, _ = borrowed["node"].accept()  # though who lent it has closed it
        taken.close()
    lender.close()
    reactor.close()
    assert not Path(path).exists()
    for sock in borrowed.values():
        sock.close()


def test_who_hangs_is_passed_over(
    drive: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("compartments.processes.listeners._ANSWER_S_MAX", 0.1)
    hung = str(tmp_path / "hung.ports")
    reactor = Reactor(drive.loop)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent, socket.create_server(("127.0.0.1", 0)) as one:
        silent.bind(hung)
        silent.listen()
        lender = Lender(reactor, str(tmp_path / "well.ports"), {"node": one.fileno()})
        borrowed = in_thread(drive, [hung, str(tmp_path / "well.ports")])
        assert borrowed["node"].getsockname() == one.getsockname()
        assert "lends no listening sockets" in caplog.text
        borrowed["node"].close()
    lender.close()
    reactor.close()


@pytest.mark.parametrize("said", [b"", b"[", b'["a", "b"]'])
def test_who_says_what_cannot_be_is_passed_over(
    drive: Driver, tmp_path: Path, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends just now, or is short of descriptors: two names and one socket."""
    path = str(tmp_path / "odd.ports")
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, socket.create_server(("127.0.0.1", 0)) as one:
        door.bind(path)
        door.listen()
        door.setblocking(False)

        def lend() -> None:
            drive.loop.remove_reader(door.fileno())
            borrower, _ = door.accept()
            with borrower:
                if said:
                    socket.send_fds(borrower, [said], [one.fileno()])

        drive.loop.add_reader(door.fileno(), lend)
        assert in_thread(drive, [path]) == {}
    assert "lends no listening sockets" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == before


def test_nobody_lends(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert borrow([]) == {}
    assert borrow([str(tmp_path / "gone.ports")]) == {}
    assert len(os.listdir("/proc/self/fd")) == before
