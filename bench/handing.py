"""The `havok` program with workers that never forward a request: every one takes its connection along.

Rule: for `bench.mixed` alone, which measures what forwarding is worth; nobody else can have it, for
it is no setting. `python -m bench.handing COMMAND …` is the program, with a worker's argument the worker.
"""

import sys

import msgspec

from compartments.processes.launcher import Launcher
from compartments.processes.member import Member
from compartments.processes.process import WorkerSettings
from compartments.worker import Worker

PROGRAM = "bench.handing"


_ordinary = Launcher.worker


def _handing(launcher: Launcher, compartment: str, fds: int | None) -> tuple[Member, str, msgspec.Struct]:
    process, _, settings = _ordinary(launcher, compartment, fds)
    return process, PROGRAM, settings


def main() -> None:
    if sys.argv[1:2] and sys.argv[1].startswith("{"):
        Worker(msgspec.json.decode(sys.argv[1], type=WorkerSettings), forwards=False).run()
        return
    from console.main import main as havok

    Launcher.worker = _handing  # type: ignore[assignment,method-assign]
    havok()


if __name__ == "__main__":
    main()
