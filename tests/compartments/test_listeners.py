"""Listening sockets lent between processes."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from compartments.listeners import Lender, borrow, lending_path
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
    monkeypatch.setattr("compartments.listeners._ANSWER_S_MAX", 0.1)
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


def test_nobody_lends(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert borrow([]) == {}
    assert borrow([str(tmp_path / "gone.ports")]) == {}
    assert len(os.listdir("/proc/self/fd")) == before
