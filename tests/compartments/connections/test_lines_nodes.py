"""Mixed connections on whole nodes: `a` has high priority, `b` and `s` have low."""

import random
import signal
import socket
import threading
from pathlib import Path
from time import monotonic

import pytest

from compartments.processes.member import Patience
from havok import messages
from tests.compartments.client import Client, Load, request
from tests.compartments.deadline import until
from tests.compartments.node import Node, descriptors, send_signal
from tests.compartments.test_supervisor import in_its_compartment

ROWS = 5000
RANGE = "SELECT id, v FROM things WHERE id >= :first ORDER BY id LIMIT 5000"
LONG = b"GET /v1/s?first=k HTTP/1.1\r\nHost: h\r\n\r\n"


def mixed_node(node: Node, low: int = 1) -> Node:
    """`low`: workers of that compartment."""
    node.compartments["one"]["priority"] = "high"
    node.compartments["two"] |= {"priority": "low", "workers": {"min": low, "max": low}}
    node.services["s"] = {"kind": "sql", "sql": RANGE, "compartment": "two"}
    node.load(1, rows=ROWS)
    return node.start()


@pytest.fixture
def mixed(node: Node) -> Node:
    return mixed_node(node)


def posted(key: str) -> bytes:
    body = b'{"keys":["%b","k0"]}' % key.encode()
    head = b"POST /v1/b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def rest_of_chunks(client: Client, received: bytes = b"") -> bytes:
    """The body of an answer in chunks, read to its end."""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        data = client.sock.recv(1 << 20)
        assert data, f"cut off after {len(received)} bytes"
        received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return body
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


def connections(node: Node, compartment: str) -> int:
    return sum(worker["connections"] for worker in node.workers(compartment))


def forwarded(node: Node, compartment: str) -> int:
    return sum(worker["forwarded"] for worker in node.workers(compartment))


def test_pipelined_mixes_are_answered_in_order(mixed: Node) -> None:
    seed = 20261127
    print(f"seed {seed}")
    dice = random.Random(seed)
    asked = [(dice.choice(["a", "b", "batch"]), f"k{dice.randrange(ROWS)}") for _ in range(4000)]
    data = b"".join(posted(key) if name == "batch" else request(name, key) for name, key in asked)
    with mixed.client() as client:
        assert client.get("b").compartment == "two"  # from the low one up
        sender = threading.Thread(target=lambda: client.send(data))
        sender.start()
        for name, key in asked:
            answer = client.answer()
            assert answer.status == 200
            assert answer.compartment == ("one" if name == "a" else "two")
            ids = [row["id"] for row in answer.data] if name == "batch" else answer.data["id"]
            assert ids == ([key, "k0"] if name == "batch" else key)
        sender.join()
        until(lambda: connections(mixed, "one") == 1, what="it rests at the high one")


def test_many_mixed_connections_at_once(mixed: Node) -> None:
    with Load(("127.0.0.1", mixed.port), ["a", "b"], threads=8, good=in_its_compartment) as load:
        until(lambda: load.asked > 3000)
    print(load.summary())
    assert load.failures == []


def test_long_answers_are_relayed_whole_to_a_client_that_reads_slowly(mixed: Node) -> None:
    with mixed.client() as direct:
        direct.send(LONG)
        whole = rest_of_chunks(direct)
    assert whole.count(b'"id"') == ROWS
    with mixed.client() as client:
        assert client.get("a").status == 200
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(LONG + request("a"))
        received = b""
        while b"\r\n0\r\n\r\n" not in received:
            data = client.sock.recv(4096)
            assert data
            received += data
        body, _, _ = received.partition(b"\r\n0\r\n\r\n")
        client._buffer = received[len(body) + 7 :]
        assert client.answer().compartment == "one"
    with mixed.client() as client:
        assert client.get("a").status == 200
        for _ in range(5):
            client.send(LONG)
            assert rest_of_chunks(client) == whole


def test_the_high_priority_is_prompt_while_the_low_worker_is_stopped(mixed: Node) -> None:
    """Whatever its connections asked before, and however many others wait for the low one."""
    clients = [mixed.client() for _ in range(10)]
    for client in clients:
        for name in ("b", "a", "b", "a"):
            assert client.get(name).status == 200
    (low,) = mixed.worker_pids("two")
    waiting = [mixed.client() for _ in range(5)]
    for client in waiting:
        assert client.get("a").status == 200
    send_signal(low, signal.SIGSTOP)
    try:
        for client in waiting:
            client.send(request("b"))
        slowest = 0.0
        for _ in range(10):
            for client in clients:
                started = monotonic()
                assert client.get("a").compartment == "one"
                slowest = max(slowest, monotonic() - started)
        print(f"slowest of 100: {slowest * 1000:.1f} ms")
        assert slowest < 0.5
    finally:
        send_signal(low, signal.SIGCONT)
    assert [client.answer().compartment for client in waiting] == ["two"] * 5
    for client in (*clients, *waiting):
        client.sock.close()


def test_a_low_worker_killed_with_requests_in_hand(node: Node) -> None:
    """What may be repeated is answered by its sibling, at once; what may not is refused."""
    node.patience = Patience(silent_s=30.0, hung_s=60.0)  # the one that is stopped is to be replaced by nobody yet
    started = mixed_node(node, low=2)
    victim, sibling = started.worker_pids("two")
    clients = [started.client() for _ in range(12)]
    for client in clients:
        assert client.get("a").status == 200
    send_signal(victim, signal.SIGSTOP)
    for number, client in enumerate(clients):
        client.send(request("b") if number < 6 else posted("k1"))
    until(lambda: forwarded(started, "one") == 12, what="all are at one of the two")
    send_signal(victim, signal.SIGKILL)
    answers = [client.answer() for client in clients]
    assert [answer.status for answer in answers[:6]] == [200] * 6
    refused = [answer for answer in answers[6:] if answer.status != 200]
    assert 1 <= len(refused) <= 5
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    assert sibling in started.worker_pids("two")
    for client in clients:
        assert client.get("a").status == client.get("b").status == 200, "the connection is as good as before"
        client.sock.close()


def test_a_low_worker_killed_in_the_middle_of_an_answer(mixed: Node) -> None:
    (low,) = mixed.worker_pids("two")
    with mixed.client() as client, mixed.client() as other:
        assert client.get("a").status == 200
        assert other.get("a").status == 200
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(LONG * 40)  # more than all buffers on the way
        received = client.sock.recv(1000)
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        send_signal(low, signal.SIGKILL)
        ended = False
        while not ended:
            try:
                data = client.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            ended = not data
            received += data
        assert received.count(b"HTTP/1.1 200 OK\r\n") < 40, "it is cut off, and nothing else is put in its place"
        assert other.get("a").status == 200


def test_a_rolling_restart_under_mixed_load(mixed: Node) -> None:
    """Workers leave with lines in use; those go on at their successors."""
    before = set(mixed.worker_pids())
    with Load(("127.0.0.1", mixed.port), ["a", "b"], threads=4, good=in_its_compartment) as load:
        until(lambda: load.asked > 200)
        mixed.request(messages.RestartRequest(), 40)
        until(lambda: before.isdisjoint(mixed.worker_pids()), 30)
        seen = load.asked
        until(lambda: load.asked > seen + 200)
    print(load.summary())
    assert load.failures == []


def test_no_descriptor_is_left(mixed: Node) -> None:
    """By clients that go away in the midst, and by those that stay."""
    pids = [*mixed.worker_pids(), mixed.gate_pid()]
    with mixed.client() as client:
        for name in ("a", "b", "a", "b"):
            client.get(name)
        before = [descriptors(pid) for pid in pids]
        for _ in range(50):
            with mixed.client() as gone:
                assert gone.get("a").status == 200
                gone.send(LONG + request("b"))
            client.get("b")
    until(
        lambda: all(descriptors(pid) <= was + 2 for pid, was in zip(pids, before, strict=True)),
        what="no descriptor left, but for an idle line or two",
    )


def test_a_priority_that_changes_is_known_everywhere(mixed: Node) -> None:
    """The worker that was low is high now: connections rest there."""
    with mixed.client() as client:
        for name in ("a", "b", "a", "b"):
            assert client.get(name).status == 200
        until(lambda: forwarded(mixed, "one") == 2, what="both requests for the low one")
        mixed.compartments["one"]["priority"] = "low"
        mixed.compartments["two"]["priority"] = "high"
        mixed.write()
        mixed.request(messages.ReloadRequest())
        until(mixed.is_serving)
        pid = mixed.worker_pids("one")[0]
        assert Path(f"/proc/{pid}").exists()
        assert client.get("b").compartment == "two"  # up
        for _ in range(10):
            assert client.get("a").compartment == "one"
        until(lambda: forwarded(mixed, "two") == 10, what="it rests at the one that is high now")
        assert forwarded(mixed, "one") == 2
