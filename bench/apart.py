"""The open-loop client in a process of its own.

Rule: what makes things happen meanwhile shares neither interpreter nor core with it. In one process a thread that
starts a command held the interpreter until the command's process had its first turn: 58 ms of lag beside upgrades.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import msgspec

from bench.arrivals import Arrivals
from bench.cpu import first
from bench.process import StartFailed

ESTABLISHED_S = 0.3  # asked before anything is counted: every connection is at a worker by then
START_S_MAX = 30.0


class Seen(msgspec.Struct, frozen=True):
    """As an `Observation` has it."""

    latencies_ns: list[int]
    lags_ns: list[int]
    failed: int
    reasons: list[str]


def observe(port: int, requests: Sequence[bytes], rate: float, core: int, meanwhile: Callable[[], None]) -> Seen:
    """What was seen while `meanwhile` ran, at `rate` requests per second. Raises StartFailed, and what that raises."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    client = context.Process(target=_ask, args=(theirs, port, list(requests), rate, core), daemon=True)
    client.start()
    theirs.close()
    try:
        if not ours.poll(START_S_MAX) or ours.recv() is not None:
            raise StartFailed("the client was not ready")
        try:
            meanwhile()
        finally:
            ours.send(None)
        return msgspec.msgpack.decode(ours.recv_bytes(), type=Seen)
    except (EOFError, OSError) as error:
        raise StartFailed(f"the client ended: {error!r}") from None
    finally:
        ours.close()
        client.join(START_S_MAX)
        client.kill()


def _ask(pipe: Connection, port: int, requests: Sequence[bytes], rate: float, core: int) -> None:
    with first(core):
        arrivals = Arrivals(port, requests, rate)
        try:
            established_ns = time.monotonic_ns() + round(ESTABLISHED_S * 1e9)
            before = arrivals.run(lambda now_ns: now_ns < established_ns)
            pipe.send(None)
            seen = arrivals.run(lambda _now_ns: not pipe.poll())
        finally:
            arrivals.close()
    told = Seen(seen.latencies_ns, seen.lags_ns, before.failed + seen.failed, before.reasons + seen.reasons)
    pipe.send_bytes(msgspec.msgpack.encode(told))
