"""`havok serve`: the supervisor in the foreground, and what a person sees of it.

Rule: the ports are had before anything is started, the data plane serves before the admin
plane is imported. DuckDB and the loader stay out of this process.
"""

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import uvloop

from compartments.processes.claim import LOCK, listen
from compartments.processes.inherited import become, take_inherited
from compartments.supervisor import Supervisor
from console import terminal
from console.node import holder, is_running
from havok.errors import NodeError

if TYPE_CHECKING:
    from console.admin import Admin

log = logging.getLogger("havok")

READY_S_MAX = 3600.0  # hashing the largest versions at a start takes minutes
ADMIN_AFTER_S = 2.0  # the admin plane waits as long for the data plane, to leave it the cores
HAVOK = (sys.executable, "-P", "-m", "console.main")
ADMIN = "admin"  # what its listening socket is called when it is handed on
_COLOURS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


class LineFormatter(logging.Formatter):
    """`12:03:04 warning …`, coloured on a terminal."""

    def __init__(self, colour: bool) -> None:
        super().__init__("%(message)s")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = record.levelname.lower()
        if self._colour and record.levelno in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelno]}m{level}\x1b[0m"
        return f"{at} {level} {super().format(record)}"


def serve(config: Path) -> None:
    """Until SIGTERM or Ctrl-C. Raises ConfigError or NodeError when it cannot start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(terminal.is_terminal(sys.stderr)))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    inherited = take_inherited()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        handed_on = runner.run(_serve(config, inherited))
    if handed_on is not None:
        become([*HAVOK, "serve", str(config)], handed_on)


async def _serve(config: Path, inherited: dict[str, int]) -> dict[str, int] | None:
    """What a successor inherits; None when it was the end."""
    supervisor = Supervisor(
        config,
        [*HAVOK, "load", "--first", "-c", str(config)],
        check_command=[*HAVOK, "preflight", str(config)],
        inherited={name: fd for name, fd in inherited.items() if name != ADMIN},
    )
    node = supervisor.settings.node
    if LOCK not in inherited and is_running(supervisor.data_dir):
        raise NodeError(
            f"{supervisor.data_dir} is in use by another node (pid {holder(supervisor.data_dir)}); "
            "stop it or set another node.data_dir"
        )
    held = inherited.get(ADMIN)
    admin_listener = listen(node.admin, "node.admin") if held is None else socket.socket(fileno=held)
    _handle_signals(supervisor)
    await supervisor.start()
    begun = time.time() if inherited else psutil.Process().create_time()
    greeter = asyncio.create_task(_greet(supervisor, begun))
    admin = None
    try:
        admin = await _start_admin(supervisor, admin_listener)
    finally:
        if admin is None:
            supervisor.stop()  # without its admin plane a node does not stay
        handed_on = await supervisor.run()
        if handed_on is not None:
            handed_on[ADMIN] = os.dup(admin_listener.fileno())
        greeter.cancel()
        await asyncio.gather(greeter, return_exceptions=True)
        if admin is not None:
            await admin.close()
    if handed_on is None:
        terminal.say("drained; goodbye")
    return handed_on


async def _greet(supervisor: Supervisor, begun: float) -> None:
    from console.greeting import Greeting

    if await supervisor.until_serving(READY_S_MAX):
        greeting = Greeting(supervisor)
        greeting.head(time.time() - begun)
        await greeting.follow()


async def _start_admin(supervisor: Supervisor, listener: socket.socket) -> "Admin":
    """Callers who come earlier wait in the listener's queue."""
    await supervisor.until_serving(ADMIN_AFTER_S)
    admin_module = await asyncio.to_thread(importlib.import_module, "console.admin")
    admin: Admin = admin_module.Admin(
        supervisor.status,
        supervisor.changes.audit.newest,
        supervisor.changes.scale,
        supervisor.data_dir,
        supervisor.settings.node.admin,
    )
    await admin.start(listener)
    return admin


def _handle_signals(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def stop(number: int) -> None:
        asked.append(number)
        if len(asked) == 1:
            log.info("%s: draining; once more ends at once", signal.Signals(number).name)
            supervisor.stop()
        else:
            log.warning("ending at once")
            fleet: Any = getattr(supervisor, "fleet", None)
            for process in list(fleet.processes.values()) if fleet else []:
                process.signal(signal.SIGKILL)

    loop.add_signal_handler(signal.SIGTERM, stop, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, stop, signal.SIGINT)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
