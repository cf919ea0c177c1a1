"""Bus fan-out: from a change of the facts to its being applied by every follower.

All ends live in one loop, so a figure is the work of all of them together, not what one
worker waits.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
import zmq
from pytest_benchmark.fixture import BenchmarkFixture

from compartments.facts.bus import Wire
from compartments.facts.ledger import Ledger
from compartments.facts.replica import Replica
from havok.messages import decode_broadcast, encode

FACT_BYTES = 400  # about a plan
HEARD_S_MAX = 10.0


class FanOut:
    """One publisher and its followers, in sync from `join` on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str, followers: int) -> None:
        self._loop = loop
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._ledger = Ledger(epoch=1)
        self._publisher = Wire(loop, self._context, zmq.PUB)
        self._publisher.bind(address)
        self._replicas = [Replica() for _ in range(followers)]
        self._heard: set[int] = set()
        self._all_applied = asyncio.Event()
        self._wires = [self._follow(number, address) for number in range(followers)]

    def _follow(self, number: int, address: str) -> Wire:
        replica = self._replicas[number]

        def hear(frames: list[bytes]) -> None:
            self._heard.add(number)
            for frame in frames:
                replica.receive(decode_broadcast(frame))
            if all(each.seq == self._ledger.seq for each in self._replicas):
                self._all_applied.set()

        wire = Wire(self._loop, self._context, zmq.SUB, hear)
        wire.socket.setsockopt(zmq.SUBSCRIBE, b"")
        wire.connect(address)
        return wire

    async def join(self) -> None:
        """A subscription takes a moment to arrive: heartbeats until everyone hears one."""
        deadline = self._loop.time() + HEARD_S_MAX
        while len(self._heard) < len(self._replicas):
            assert self._loop.time() < deadline, "the followers never heard the publisher"
            self._publisher.send([encode(self._ledger.heartbeat())])
            await asyncio.sleep(0.001)
        for replica in self._replicas:
            replica.receive(self._ledger.state())

    async def change(self) -> None:
        """One changed fact, told and applied everywhere."""
        self._all_applied.clear()
        number = self._ledger.seq.to_bytes(8, "big")
        bulletin = self._ledger.change({"plan/airport": number * (FACT_BYTES // 8)})
        assert bulletin is not None
        self._publisher.send([encode(bulletin)])
        await self._all_applied.wait()

    def close(self) -> None:
        for wire in (*self._wires, self._publisher):
            wire.close()
        self._context.term()


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


@pytest.fixture(params=[1, 8, 32], ids=lambda count: f"{count} followers")
def change(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], None]]:
    with _loop() as loop:
        bus = FanOut(loop, f"ipc://{tmp_path}/bulletin.sock", request.param)
        try:
            loop.run_until_complete(bus.join())
            yield lambda: loop.run_until_complete(bus.change())
        finally:
            bus.close()


def test_fan_out(benchmark: BenchmarkFixture, change: Callable[[], None]) -> None:
    benchmark(change)
