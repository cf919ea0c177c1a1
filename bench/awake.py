"""Keeps cores from halting while latencies are measured.

Rule: one process per core that spins where nothing else would run (`bench.leftover`). Without
it a virtual machine's core halts between two requests, and waking it costs up to milliseconds
of the host's scheduling: measured on a 2-core machine, `select` overslept 1.4 ms at p99.9
without and 0.2 ms with it. CPU figures are measured without.
Run as `python -m bench.awake PARENT_PID`; it ends when that parent is gone.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bench.cpu import pinned
from bench.leftover import leftover
from bench.process import environment, python

_SPINS = 100_000  # some milliseconds between two looks at the parent


@contextmanager
def awake(cores: Iterable[int]) -> Iterator[None]:
    spinners = []
    try:
        for core in set(cores):
            with pinned(core):
                argv = leftover(python("bench.awake", str(os.getpid())))
                spinners.append(subprocess.Popen(argv, env=environment(), start_new_session=True))
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def spin(parent: int) -> None:
    while os.getppid() == parent:
        for _ in range(_SPINS):
            pass


if __name__ == "__main__":
    spin(int(sys.argv[1]))
