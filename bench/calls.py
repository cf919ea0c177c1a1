"""A peer that is no server: a process that asks its database itself, when it is told to.

Rule: it reads orders from its standard input, a line of JSON each, and answers each with a
line: a body, or what it observed while it asked call after call for so many seconds. Between
orders it sleeps, so its CPU is that of its calls: bind, execute, fetch, encode as JSON. What
HTTP, checks of parameters and rate limits cost is not in it, to its advantage.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from statistics import quantiles

import msgspec

from bench.process import Server, StartFailed
from bench.questions import Question
from bench.wrk import ClientFailed, Observed

Answer = Callable[[Question, int], Awaitable[bytes]]
WARM_CALLS = 20  # of each question before it says it is ready: plans are made, pages are read


class Order(msgspec.Struct, frozen=True):
    """Call `number` once, or with `seconds` as many as that allows."""

    service: str
    number: int = 0
    seconds: float = 0.0


class Ready(msgspec.Struct, frozen=True):
    """The first line: every process that works for it."""

    pids: tuple[int, ...]


async def obey(asked: dict[str, Question], answer: Answer, pids: tuple[int, ...]) -> None:
    """Until the input ends: what the process does once its database stands."""
    for question in asked.values():
        for number in range(WARM_CALLS):
            await answer(question, number % len(question.calls))
    _say(msgspec.json.encode(Ready(pids)))
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        question = asked[order.service]
        if order.seconds:
            _say(msgspec.json.encode(await _observed(question, answer, order.seconds)))
        else:
            _say(await answer(question, order.number))


async def _observed(question: Question, answer: Answer, seconds: float) -> Observed:
    calls, took_ns = len(question.calls), []
    begun = before = time.monotonic_ns()
    end = begun + int(seconds * 1e9)
    for number in count():
        await answer(question, number % calls)
        now = time.monotonic_ns()
        took_ns.append(now - before)
        before = now
        if now >= end:
            break
    ordered = quantiles(took_ns, n=100) if len(took_ns) > 1 else took_ns * 99
    return Observed(len(took_ns), (before - begun) / 1e9, ordered[49] / 1e3, ordered[98] / 1e3, 0, 0.0)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


class Callee:
    """The other side: the process, started and given orders. Raises StartFailed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        try:
            self.pids = list(msgspec.json.decode(self._line(), type=Ready).pids)
        except BaseException:
            server.stop()
            raise

    def answer(self, service: str, number: int) -> bytes:
        return self._ask(Order(service, number))

    def drive(self, service: str) -> Callable[[float], Observed]:
        def drive(seconds: float) -> Observed:
            return msgspec.json.decode(self._ask(Order(service, seconds=seconds)), type=Observed)

        return drive

    def _ask(self, order: Order) -> bytes:
        try:
            self._server.write(msgspec.json.encode(order) + b"\n")
            return self._line()
        except (OSError, StartFailed) as failure:
            raise ClientFailed(str(failure)) from None

    def _line(self) -> bytes:
        line = self._server.read_line()
        if not line.endswith(b"\n"):
            raise StartFailed(f"it ended or is stuck: {self._server.last_words()}")
        return line[:-1]
