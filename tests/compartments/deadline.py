"""Waiting for a condition, never for luck."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.005


def pause(seconds: float = POLL_S) -> None:
    """Between two looks at a condition."""
    threading.Event().wait(seconds)


def until(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """The first true value of the condition, which is looked at every few milliseconds."""
    deadline = monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        pause()
