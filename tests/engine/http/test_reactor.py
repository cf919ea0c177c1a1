"""The reactor: readiness of many sockets behind one descriptor of the loop."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
import uvloop

from engine.http.reactor import EVENTS_MAX, NOTHING, READ, WRITE, Reactor


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


def turn(loop: asyncio.AbstractEventLoop, times: int = 3) -> None:
    for _ in range(times):
        loop.run_until_complete(asyncio.sleep(0))


def test_calls_back_what_is_ready(loop: asyncio.AbstractEventLoop) -> None:
    reactor = Reactor(loop)
    ours, theirs = socket.socketpair()
    read: list[bytes] = []
    reactor.add(ours.fileno(), lambda: read.append(ours.recv(10)))
    turn(loop)
    assert read == []
    before = reactor.now_ns
    theirs.send(b"x")
    turn(loop)
    assert read == [b"x"]
    assert reactor.now_ns > before, "a tick reads the clock once"
    reactor.remove(ours.fileno())
    reactor.remove(ours.fileno())
    theirs.send(b"y")
    turn(loop)
    assert read == [b"x"]
    reactor.close()
    ours.close()
    theirs.close()


def test_what_rests_is_heard_again(loop: asyncio.AbstractEventLoop) -> None:
    reactor = Reactor(loop)
    ours, theirs = socket.socketpair()
    calls: list[str] = []
    reactor.add(ours.fileno(), lambda: calls.append("first"))
    theirs.send(b"x")
    reactor.rest(ours.fileno(), 0.02)
    turn(loop)
    assert calls == []
    loop.run_until_complete(asyncio.sleep(0.03))
    turn(loop)
    assert "first" in calls
    reactor.rest(ours.fileno(), 0.02)
    reactor.remove(ours.fileno())
    reactor.add(ours.fileno(), lambda: calls.append("another"), NOTHING)
    loop.run_until_complete(asyncio.sleep(0.03))
    turn(loop)
    assert "another" not in calls, "the rest was that of a descriptor removed since"
    reactor.close()
    ours.close()
    theirs.close()


def test_events_can_change(loop: asyncio.AbstractEventLoop) -> None:
    reactor = Reactor(loop)
    ours, theirs = socket.socketpair()
    calls: list[str] = []
    reactor.add(ours.fileno(), lambda: calls.append("read"))
    theirs.send(b"x")
    reactor.change(ours.fileno(), lambda: calls.append("paused"), NOTHING)
    turn(loop)
    assert calls == [], "input that nobody waits for does not wake"
    reactor.change(ours.fileno(), lambda: calls.append("write"), WRITE)
    turn(loop, 1)
    assert calls[0] == "write"
    calls.clear()
    reactor.change(ours.fileno(), lambda: calls.append("read"), READ)
    turn(loop, 1)
    assert calls[0] == "read"
    reactor.close()
    ours.close()
    theirs.close()


def test_a_callback_may_remove_another_of_the_same_tick(loop: asyncio.AbstractEventLoop) -> None:
    reactor = Reactor(loop)
    pairs = [socket.socketpair() for _ in range(3)]
    called: list[int] = []

    def first_takes_all(number: int) -> None:
        called.append(number)
        for ours, _ in pairs:
            reactor.remove(ours.fileno())

    for number, (ours, theirs) in enumerate(pairs):
        reactor.add(ours.fileno(), lambda number=number: first_takes_all(number))  # type: ignore[misc]
        theirs.send(b"x")
    turn(loop)
    assert len(called) == 1
    reactor.close()
    for pair in pairs:
        for side in pair:
            side.close()


def test_a_tick_is_bounded_and_nobody_starves(loop: asyncio.AbstractEventLoop) -> None:
    """More descriptors than one poll tells, none of which is ever drained."""
    reactor = Reactor(loop)
    pipes = [os.pipe() for _ in range(3 * EVENTS_MAX)]
    called: set[int] = set()
    for reading, writing in pipes:
        reactor.add(reading, lambda reading=reading: called.add(reading))  # type: ignore[misc]
        os.write(writing, b"x")
    turns: list[int] = []
    for _ in range(20):
        loop.call_soon(turns.append, len(called))
        turn(loop, 1)
    assert len(turns) == 20, "timers and the bus get their turn between ticks"
    assert len(called) == len(pipes)
    reactor.close()
    for pipe in pipes:
        for end in pipe:
            os.close(end)


def test_an_error_in_a_callback_does_not_lose_the_others(loop: asyncio.AbstractEventLoop) -> None:
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    reactor = Reactor(loop)
    pairs = [socket.socketpair() for _ in range(4)]
    served: list[bytes] = []

    def serve(ours: socket.socket) -> None:
        served.append(ours.recv(10))
        raise ZeroDivisionError

    for ours, theirs in pairs:
        reactor.add(ours.fileno(), lambda ours=ours: serve(ours))  # type: ignore[misc]
        theirs.send(b"x")
    turn(loop, 10)
    assert served == [b"x"] * 4
    assert [type(error) for error in reported] == [ZeroDivisionError] * 4
    reactor.close()
    for pair in pairs:
        for side in pair:
            side.close()
