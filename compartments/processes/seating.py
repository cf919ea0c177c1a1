"""Gives each process its cores, limits and share of a core, and lets those that start beside others start quietly.

Rule: a start costs a third of a second of a core. Where nobody serves yet it is had at once; beside
others it gets what they leave, on any core, for QUIET_S at most: then it is time that it serves.
Only a process that is ready, or cannot wait, takes its compartment's cores; the gate has none.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from compartments.machine.isolation import Isolation
from compartments.machine.limits import NICE, NICE_GATE, NICE_QUIET, rank_session
from compartments.processes.launcher import GATE
from compartments.processes.member import Member
from havok.settings import CompartmentSettings

QUIET_S = 3.0
PATIENT_S = 20.0  # of what nobody's requests wait for


class Seating:
    """`own(work)` runs a coroutine that the caller awaits or cancels."""

    def __init__(self, isolation: Isolation, own: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.isolation = isolation
        self._own = own
        self._compartments: Mapping[str, CompartmentSettings] = {}

    def place(self, compartments: Mapping[str, CompartmentSettings], workers: Mapping[str, int]) -> None:
        """Who may be where from now on; `seat` then puts each process there."""
        self._compartments = compartments
        self.isolation.place(compartments, workers)

    def seat(self, process: Member) -> None:
        """Again after every change."""
        settings = self._compartments.get(process.compartment)
        if not process.pid or (settings is None and process.compartment != GATE):
            return
        is_new = process.nice is None
        if process.is_quiet and not process.was_ready:
            nice = NICE_QUIET
            if is_new:
                self.isolation.set_aside(process.pid)
                self._own(self._hurry(process))
        elif settings is None:  # the gate
            nice = NICE_GATE
            if process.nice == NICE_QUIET:
                self.isolation.release(process.pid)
        else:
            nice = NICE[settings.priority]
            self.isolation.confine(process.pid, process.name, process.compartment)
        if process.nice != nice:
            process.nice = nice
            holds = partial(_holds, process, nice)
            self._own(rank_session(process.pid, nice, process.name, holds))

    def quieten(self, pid: int) -> Callable[[], None]:
        """One that is none of the node's processes; → to be called when it has ended."""
        self.isolation.set_aside(pid)
        return asyncio.get_running_loop().call_later(PATIENT_S, self.isolation.release, pid).cancel

    async def _hurry(self, process: Member) -> None:
        await asyncio.sleep(QUIET_S)
        if not process.was_ready and not process.ended.is_set():
            process.is_quiet = False
            self.seat(process)


def _holds(process: Member, nice: int) -> bool:
    return process.nice == nice and not process.ended.is_set()
