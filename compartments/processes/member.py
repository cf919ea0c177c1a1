"""A process of the node: started here or adopted, watched until it ends.

Rule: it is watched through its pidfd, which tells of the end of any process, a child or not,
and never means another one that came to the same number. What the process serves is not
known here; how it is follows from what it last said.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from time import monotonic

import msgspec

from compartments.processes.roster import Entry, is_there, start_ticks
from havok.messages import Report


class Patience(msgspec.Struct, frozen=True):
    """How long a process may leave us waiting, in seconds."""

    silent_s: float = 1.0  # without a report for as long, a worker gets no new connections
    hung_s: float = 10.0  # and after as long it is ended and replaced
    start_s: float = 60.0  # the same before it was ready: reading a program from a slow disk takes long
    kill_after_s: float = 5.0  # on top of the drain, before SIGKILL


class Member:
    """What a process is, how it is, and what it last said. `pid` is 0 before it is there."""

    def __init__(self, name: str, compartment: str, code: str, patience: Patience, inbox: str = "") -> None:
        """`code`: which code it runs, see `compartments.processes.code`."""
        self._patience = patience
        self.name = name
        self.compartment = compartment
        self.code = code
        self.inbox = inbox
        self.addresses: tuple[str, ...] = ()  # whose listening sockets it holds
        self.pid = 0
        self.ticks = 0
        self.started_s = self.heard_s = monotonic()
        self.report: Report | None = None
        self.draining = False
        self.is_spare = False  # beside the one it is to replace
        self.is_quiet = False  # starts without others feeling it
        self.nice: int | None = None  # its session's, as it was asked for last
        self.is_replaced = False  # another one is about to be put in its place
        self.ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._exit_code: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd = -1

    # -- from its start to its end -----------------------------------------------------

    def start(self, module: str, argument: str, listeners: Mapping[str, int]) -> None:
        """Runs `module` in a session of its own; it inherits `listeners`, by address. Raises OSError."""
        self.addresses = tuple(listeners)
        command = [sys.executable, "-P", "-m", module, argument]
        self._child = subprocess.Popen(
            command, pass_fds=list(listeners.values()), stdin=subprocess.DEVNULL, start_new_session=True
        )
        self._watch(self._child.pid)
        with contextlib.suppress(ProcessLookupError):  # it ended already; we are about to be told
            self.ticks = start_ticks(self.pid)

    def adopt(self, entry: Entry) -> None:
        """Watches one that runs already. Raises ProcessLookupError when it ended meanwhile, OSError."""
        if entry.ready:
            self._ready.set()
        self.addresses = entry.addresses
        self._watch(entry.pid)  # from now on the pid is nobody else's
        self.ticks = entry.ticks
        if not is_there(entry):
            self._forget()
            raise ProcessLookupError(f"process {entry.pid} has ended")

    def _watch(self, pid: int) -> None:
        self._pidfd = os.pidfd_open(pid)
        self.pid = pid
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    def _on_end(self) -> None:
        self._exit_code = self._reap()
        self._forget()
        self.ended.set()

    def _reap(self) -> int | None:
        """Its exit code, minus the signal that killed it; None of an adopted one: only a parent is told."""
        if self._child is not None:
            return self._child.wait()
        try:  # it may be a child of ours still: of the supervisor that this process was before an upgrade
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, os.WNOHANG)[1])
        except ChildProcessError:
            return None

    def _forget(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1

    async def wait(self) -> int | None:
        """Its exit code, once it has ended; None where that cannot be known."""
        await self.ended.wait()
        return self._exit_code

    @property
    def lives(self) -> bool:
        """As the system says: of an end we may not have been told yet."""
        return not self.ended.is_set() and is_there(self.entry)

    def signal(self, number: int) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    # -- how it is -------------------------------------------------------------------

    def hear(self, report: Report) -> bool:
        """Whether it is ready since now."""
        was_ready = self.was_ready
        self.report = report
        self.heard_s = monotonic()
        if report.ready:
            self._ready.set()
        return self.was_ready and not was_ready

    @property
    def was_ready(self) -> bool:
        return self._ready.is_set()

    async def until_ready(self, seconds: float) -> bool:
        """False when it ended before, or took longer."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._ready, self.ended)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return self.was_ready and not self.ended.is_set()

    @property
    def state(self) -> str:
        if self.draining:
            return "draining"
        if not self.was_ready:
            return "starting"
        return "silent" if self.silent else "ready"

    @property
    def silent(self) -> bool:
        return monotonic() - self.heard_s > self._patience.silent_s

    @property
    def hung(self) -> bool:
        """Silent for so long that it is given up."""
        patience_s = self._patience.hung_s if self.was_ready else self._patience.start_s
        return not self.draining and monotonic() - self.heard_s > patience_s

    def would_lose_by(self, successor: "Member") -> str | None:
        """What would be served no more if the successor took its place, in words; None: nothing."""
        before, after = self.report, successor.report
        missing = sorted((before.serving.keys() if before else set()) - (after.serving.keys() if after else set()))
        if not missing:
            return None
        reason = next(iter(after.faults.values()), None) if after else None
        return f"does not serve {', '.join(missing)}" + (f": {reason}" if reason else "")

    @property
    def entry(self) -> Entry:
        """For the record, so that another supervisor can adopt it."""
        return Entry(
            self.pid, self.ticks, self.name, self.compartment, self.inbox, self.code, self.was_ready, self.addresses
        )
