"""An event loop driven by hand: its callbacks run until a condition holds."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import uvloop


class Driver:
    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.unhandled: list[str] = []
        self.loop.set_exception_handler(lambda _, context: self.unhandled.append(str(context)))

    def until(self, condition: Callable[[], object], seconds: float = 5, what: str = "") -> None:
        async def wait() -> None:
            deadline = monotonic() + seconds
            while not condition():
                assert monotonic() < deadline, f"not within {seconds} s: {what}"
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def turn(self, turns: int = 3) -> None:
        """Lets what is due happen."""

        async def wait() -> None:
            for _ in range(turns):
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())


@contextmanager
def driver() -> Iterator[Driver]:
    made = Driver()
    try:
        yield made
    finally:
        made.loop.close()
