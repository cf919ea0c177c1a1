"""The gate, in a process of its own, between clients and mailboxes that stand for workers."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from compartments.facts.deployment import peers_key
from compartments.processes.process import GateSettings
from tests.compartments.deadline import pause, until
from tests.compartments.loops import driver
from tests.compartments.node import descriptors
from tests.compartments.porch import Porch


@pytest.fixture
def porch(tmp_path: Path) -> Iterator[Porch]:
    with driver() as drive:
        made = Porch(drive, tmp_path)
        yield made
        made.close()


def test_a_connection_goes_to_its_owner_with_all_that_was_read(porch: Porch) -> None:
    porch.start()
    for service, box in (("a", "one"), ("b", "two")):
        for prefix in ("", "\r\n", "http://x:80", "https://h.example", "HTTP://x"):
            lead, host = ("\r\n", "") if prefix == "\r\n" else ("", prefix)
            content = f"{lead}GET {host}/v1/{service}?id=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/zz HT".encode()
            with porch.client() as client:
                client.send(content)
                sock, received = porch.mailboxes[box].take()
                assert received == content
                sock.send(b"answer")
                assert client.sock.recv(6) == b"answer"
                sock.close()
                assert client.ended(), "the gate keeps no copy"


def test_a_post_and_a_head_find_their_owner(porch: Porch) -> None:
    porch.start()
    for method in (b"POST", b"HEAD", b"PATCH", b"X"):
        with porch.client() as client:
            client.send(method + b" /v1/b HTTP/1.1\r\n")
            sock, _ = porch.mailboxes["two"].take()
            sock.close()


def test_a_first_line_byte_by_byte(porch: Porch) -> None:
    porch.start()
    content = b"GET /v1/b?id=1 HTTP/1.1\r\n"
    with porch.client() as client:
        for n in range(len(content)):
            client.send(content[n : n + 1])
            porch.until(lambda: True)
        sock, received = porch.mailboxes["two"].take()
        assert received == content
        sock.close()


@pytest.mark.parametrize(
    "content",
    [b"GET /v1/unknown HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"rubbish\r\n", b"\x16\x03\x01\r\n", b"x" * 9000,
     b"\r\n\r\n\r\n", b"GET /v1/ HTTP/1.1\r\n", b"GET /v1/a\xff HTTP/1.1\r\n", b"GET /v1/a HTTP/1.1\n\n"],
)  # fmt: skip
def test_what_nobody_owns_is_answered_by_some_worker(porch: Porch, content: bytes) -> None:
    """Whatever is wrong with it, a worker says so, at once."""
    porch.tell({peers_key("one"): [porch.mailboxes["one"].path], peers_key("two"): []})
    porch.start(workers=False)
    with porch.client() as client:
        client.send(content)
        sock, received = porch.mailboxes["one"].take(3)
        while len(received) < len(content):
            received += sock.recv(10_000)
        assert received == content
        sock.close()


def test_who_says_nothing_or_half_a_line_is_ended(porch: Porch) -> None:
    porch.start(line_s=0.4)
    with porch.client() as silent, porch.client() as slow:
        started = monotonic()
        slow.send(b"GET /v1/")
        assert silent.ended()
        assert slow.ended()
        took = monotonic() - started
    print(f"ended after {took:.2f} s of 0.4")
    assert 0.3 < took < 2


def test_the_default_deadline_of_a_line_is_under_7_s() -> None:
    settings = GateSettings("", "", "", 0, 1)
    assert settings.line_s + settings.line_s / 4 <= 7


def test_without_a_worker_it_says_so_after_a_second(porch: Porch) -> None:
    porch.start()
    porch.tell({peers_key("one"): []})
    with porch.client() as client:
        started = monotonic()
        client.send(b"GET /v1/a?id=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = client.answer()
        took = monotonic() - started
        assert answer.status == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
        assert msgspec.json.decode(answer.body)["code"] == "overloaded"
        assert client.ended()
    print(f"503 after {took:.2f} s")
    assert 0.9 < took < 3


def test_a_worker_that_comes_back_in_time_gets_what_waited(porch: Porch) -> None:
    porch.start()
    porch.tell({peers_key("one"): []})
    with porch.client() as client:
        client.send(b"GET /v1/a HTTP/1.1\r\n")
        porch.tell({peers_key("one"): [porch.mailboxes["one"].path]})
        sock, _ = porch.mailboxes["one"].take()
        sock.close()


def test_before_the_first_worker_connections_wait_in_the_queue(porch: Porch) -> None:
    porch.start(workers=False)
    with porch.client() as client:
        client.send(b"GET /v1/a HTTP/1.1\r\n")
        assert not porch.reports[-1].ready
        porch.tell({peers_key("one"): [porch.mailboxes["one"].path]})
        sock, _ = porch.mailboxes["one"].take()
        sock.close()


def test_without_any_worker_it_accepts_after_a_while_and_says_so(porch: Porch) -> None:
    """As on a node without a compartment: a check of its health is answered, not left in the queue."""
    porch.start(workers=False, alone_s=0.3)
    with porch.client() as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answer().status == 503
    porch.until(lambda: porch.reports[-1].ready)
    porch.tell({peers_key("one"): [porch.mailboxes["one"].path]})
    with porch.client() as client:
        client.send(b"GET /healthz HTTP/1.1\r\n")
        porch.mailboxes["one"].take()[0].close()
    porch.signal(signal.SIGTERM)
    assert process_of(porch).wait(5) == 0


def test_a_normal_start_is_shorter_than_its_patience() -> None:
    """Interpreter, imports, a state from the supervisor: who connects meanwhile waits in the queue, unrefused."""
    assert 3 <= GateSettings("", "", "", 0, 1).alone_s <= 10


def test_a_full_queue_holds_nobody_up_and_loses_nobody(porch: Porch) -> None:
    """The worker takes nothing for a while; the other compartment does not notice."""
    porch.start()
    clients = []
    for _ in range(900):
        client = porch.client()
        client.send(b"GET /v1/a HTTP/1.1\r\n")
        clients.append(client)
    with porch.client() as other:
        other.send(b"GET /v1/b HTTP/1.1\r\n")
        porch.mailboxes["two"].take()[0].close()
    taken = 0
    for _ in clients:
        sock, received = porch.mailboxes["one"].take()
        taken += received == b"GET /v1/a HTTP/1.1\r\n"
        sock.close()
    assert taken == 900
    for client in clients:
        client.sock.close()


def test_no_descriptor_is_left(porch: Porch) -> None:
    porch.start(line_s=0.2)
    assert process_of(porch).poll() is None
    for service in ("a", "b"):
        with porch.client() as client:
            client.send(f"GET /v1/{service} HTTP/1.1\r\n".encode())
            porch.mailboxes["one" if service == "a" else "two"].take()[0].close()
    pid = process_of(porch).pid
    before = descriptors(pid)
    for n in range(300):
        client = porch.client()
        match n % 3:
            case 0:
                client.send(b"GET /v1/a HTTP/1.1\r\n")
                porch.mailboxes["one"].take()[0].close()
            case 1:
                client.send(b"GET /v1/")
        client.sock.close()
    until(lambda: descriptors(pid) <= before, 5, "no more descriptors than before")


def process_of(porch: Porch) -> subprocess.Popen[bytes]:
    assert porch.process is not None
    return porch.process


def test_draining_serves_all_that_was_queued(porch: Porch) -> None:
    """More than one burst in the kernel's queue, none of them lost."""
    porch.start()
    porch.signal(signal.SIGSTOP)
    clients = [porch.client() for _ in range(300)]
    for client in clients[:299]:
        client.send(b"GET /v1/a HTTP/1.1\r\n")
    porch.signal(signal.SIGTERM)
    porch.listener.close()
    porch.signal(signal.SIGCONT)
    for _ in range(150):
        porch.mailboxes["one"].take()[0].close()
    clients[299].send(b"GET /v1/a HTTP/1.1\r\n")  # connected before, asks a moment later
    for _ in range(150):
        porch.mailboxes["one"].take()[0].close()
    assert process_of(porch).wait(5) == 0
    with pytest.raises(ConnectionRefusedError):
        porch.client()
    for client in clients:
        client.sock.close()


def test_draining_waits_for_half_a_line_but_not_for_silence(porch: Porch) -> None:
    porch.start(drain_s=3)
    with porch.client() as half, porch.client() as silent:
        half.send(b"GET /v1/b ")
        porch.until(lambda: porch.reports[-1].connections == 2)
        porch.signal(signal.SIGTERM)
        assert silent.ended()
        half.send(b"HTTP/1.1\r\n")
        sock, received = porch.mailboxes["two"].take()
        assert received == b"GET /v1/b HTTP/1.1\r\n"
        sock.close()
        assert process_of(porch).wait(5) == 0


def test_draining_ends_in_time(porch: Porch) -> None:
    porch.start(drain_s=0.5)
    with porch.client() as half:
        half.send(b"GET /v1/b ")
        porch.until(lambda: porch.reports[-1].connections == 1)
        started = monotonic()
        porch.signal(signal.SIGTERM)
        assert process_of(porch).wait(5) == 0
        assert monotonic() - started < 3


def test_out_of_descriptors_it_waits_and_goes_on(porch: Porch) -> None:
    """FAULTS 31."""
    porch.start()
    pid = process_of(porch).pid
    with porch.client() as client:
        client.send(b"GET /v1/a HTTP/1.1\r\n")
        porch.mailboxes["one"].take()[0].close()
    limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 3, limit[1]))
    clients = [porch.client() for _ in range(30)]  # silent: they hold what there is
    begun = cpu_of(pid)
    started = monotonic()
    pause(0.5)
    spent = (cpu_of(pid) - begun) / (monotonic() - started)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    relieved = monotonic()
    clients[-1].send(b"GET /v1/a HTTP/1.1\r\n")
    porch.mailboxes["one"].take()[0].close()
    resumed = monotonic() - relieved
    print(f"without descriptors {spent * 100:.0f} % of a core; accepting again {resumed * 1000:.0f} ms after relief")
    assert spent < 0.5
    assert resumed < 1
    for client in clients:
        client.sock.close()


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
