"""The limit of a compartment's connections: real workers behind a real gate."""

import signal
import socket
import threading
from contextlib import ExitStack
from time import monotonic

import msgspec
import pytest

from tests.compartments.client import Answer, Client, Load
from tests.compartments.deadline import until
from tests.compartments.node import Node, send_signal

MOST = 6


@pytest.fixture
def limited(node: Node) -> Node:
    """Compartment `one` may have MOST connections, on two workers; `two` any number."""
    node.compartments["one"] |= {"connections_max": MOST, "workers": {"min": 2, "max": 2}}
    node.load(1)
    return node.start()


def ask(node: Node, service: str = "a") -> tuple[Client, Answer]:
    client = node.client()
    return client, client.get(service)


def crowd(node: Node, stack: ExitStack, count: int, service: str = "a") -> list[Answer]:
    """As many connections at once, kept open; their first answers."""
    answers: list[Answer] = []

    def come() -> None:
        client, answer = ask(node, service)
        stack.callback(client.sock.close)
        answers.append(answer)

    threads = [threading.Thread(target=come) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_many_at_once_as_many_as_allowed_are_served(limited: Node) -> None:
    with ExitStack() as stack:
        answers = crowd(limited, stack, 40)
        assert sum(answer.status == 200 for answer in answers) == MOST
        refused = [answer for answer in answers if answer.status != 200]
        for answer in refused:
            assert answer.status == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["connection"] == "close"
            problem = msgspec.json.decode(answer.body)
            assert problem["code"] == "overloaded"
            assert problem["detail"] == "compartment one has as many connections as allowed"
        until(lambda: reported(limited) == (MOST, len(refused)))
        found = limited.status()["compartments"]
        assert (found["one"]["connections_max"], found["two"]["connections_max"]) == (MOST, None)


def reported(node: Node) -> tuple[int, int]:
    """Connections of compartment `one`, and those refused."""
    found = node.status()["compartments"]["one"]
    return sum(worker["connections"] for worker in found["workers"]), found["connections_refused"]


def test_who_leaves_makes_room(limited: Node) -> None:
    with ExitStack() as stack:
        crowd(limited, stack, MOST - 1)
        for _ in range(100):  # far more than allowed, one after another
            until(lambda: ask_and_leave(limited) == 200, 1, "a place")


def test_others_are_not_touched(limited: Node) -> None:
    address = ("127.0.0.1", limited.port)
    with ExitStack() as stack, Load(address, ["b"], threads=1) as others:
        crowd(limited, stack, MOST)
        until(lambda: others.asked > 100)
        seen, started, refused = others.asked, monotonic(), 0
        while others.asked < seen + 500:
            client, answer = ask(limited)
            client.sock.close()
            refused += answer.status == 503
        took = monotonic() - started
    print(f"{refused} refused in {took:.2f} s; other compartment: {others.summary()}")
    assert others.failures == []
    assert refused > 20


def test_a_new_gate_knows_who_is_there(limited: Node) -> None:
    with ExitStack() as stack:
        assert {answer.status for answer in crowd(limited, stack, MOST)} == {200}
        gate = limited.gate_pid()
        send_signal(gate, signal.SIGKILL)
        until(lambda: limited.status()["gate"]["pids"] not in ([], [gate]))
        assert {answer.status for answer in crowd(limited, stack, 20)} == {503}


def test_a_connection_does_not_come_in_by_another_compartments_door(limited: Node) -> None:
    with ExitStack() as stack:
        crowd(limited, stack, MOST)
        client, answer = ask(limited, "b")
        stack.callback(client.sock.close)
        assert answer.compartment == "two"
        answer = client.get("a")
        assert (answer.status, msgspec.json.decode(answer.body)["code"]) == (503, "overloaded")


def test_what_has_no_owner_goes_where_there_is_room(limited: Node) -> None:
    with ExitStack() as stack:
        crowd(limited, stack, MOST)
        for _ in range(6):
            client, answer = ask(limited, "nobody")
            client.sock.close()
            assert (answer.status, answer.compartment) == (404, "two")


def test_a_limit_changes_with_the_settings(limited: Node) -> None:
    with ExitStack() as stack:
        crowd(limited, stack, MOST)
        assert ask_and_leave(limited) == 503
        del limited.compartments["one"]["connections_max"]
        limited.write()
        assert limited.supervisor is not None
        limited.supervisor.send_signal(signal.SIGHUP)
        until(lambda: limited.status()["compartments"]["one"]["connections_max"] is None)
        until(lambda: ask_and_leave(limited) == 200)


def ask_and_leave(node: Node) -> int:
    client, answer = ask(node)
    client.sock.shutdown(socket.SHUT_RDWR)
    client.sock.close()
    return answer.status


def test_a_killed_workers_connections_do_not_count(limited: Node) -> None:
    with ExitStack() as stack:
        crowd(limited, stack, MOST)
        pid = limited.worker_pids("one")[0]
        send_signal(pid, signal.SIGKILL)
        until(lambda: pid not in limited.worker_pids("one"))
        until(limited.is_serving)
        assert sum(answer.status == 200 for answer in crowd(limited, stack, 20)) == MOST // 2


def test_lines_of_other_workers_are_no_callers(limited: Node) -> None:
    """On which those of `two` forward: nobody is refused for them, and the status does not count them."""
    limited.compartments["two"]["priority"] = "high"
    limited.compartments["one"]["priority"] = "low"
    limited.write()
    assert limited.supervisor is not None
    limited.supervisor.send_signal(signal.SIGHUP)
    until(lambda: limited.status()["compartments"]["one"]["priority"] == "low")
    with ExitStack() as stack:
        for _ in range(4):
            client, answer = ask(limited, "b")
            stack.callback(client.sock.close)
            assert (answer.status, client.get("a").status) == (200, 200)
        until(lambda: sum(worker["forwarded"] for worker in limited.workers("two")) == 4)
        assert sum(answer.status == 200 for answer in crowd(limited, stack, 3 * MOST)) == MOST
        until(lambda: sum(worker["connections"] for worker in limited.workers("one")) == MOST)
