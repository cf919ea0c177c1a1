"""What stands for data: versions that open at once, programs whose rows say who answered of what.

Rule: nothing is answered from a version that was closed.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.plan import Plan
from havok.errors import DamagedVersion
from tests.simulation.trace import Trace

_CANONICAL = re.compile(rb"id=([a-z0-9-]+)")


class Snapshot:
    def __init__(self, path: Path, aside: Callable[[Callable[[], None]], object], trace: Trace) -> None:
        self.dataset, self.version = path.parent.name, path.name
        self._trace = trace
        self._aside = aside
        self._leases = 1

    def acquire(self) -> None:
        self.check()
        self._leases += 1

    def release(self) -> None:
        self.check()
        self._leases -= 1
        if not self._leases:
            self._aside(lambda: None)

    def check(self) -> None:
        if self._leases <= 0:
            self._trace.fail(f"{self.dataset}@{self.version} is used after it was closed")

    @property
    def closed(self) -> bool:
        return self._leases == 0


class Compiled:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan


class Program:
    def __init__(self, compiled: Compiled, snapshots: Mapping[str, Snapshot], who: str) -> None:
        self.plan: Any = compiled.plan
        self.snapshots = tuple(snapshots.values())
        self._who = who
        self.closed = False
        for snapshot in self.snapshots:
            snapshot.acquire()

    def query(self, text: bytes) -> bytes | None:
        """None for what is not in canonical form, as generated code has it."""
        found = _CANONICAL.fullmatch(text)
        return None if found is None else self._row(found[1].decode())

    bind_query = query

    def bind_object(self, values: Mapping[str, object]) -> bytes:
        return self._row(str(values["id"]))

    def _row(self, key: str) -> bytes:
        for snapshot in self.snapshots:
            snapshot.check()
        row = {"id": key, "service": self.plan.service, "version": self.snapshots[0].version, "by": self._who}
        return json.dumps(row).encode()

    def fault(self, error: Exception) -> Exception | None:
        raise error

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for snapshot in self.snapshots:
                snapshot.release()


def opened(path: Path, aside: Callable[[Callable[[], None]], object], damaged: set[str], trace: Trace) -> Snapshot:
    """A version's name is its dataset's and its own: another dataset's may be whole."""
    if f"{path.parent.name}@{path.name}" in damaged:
        raise DamagedVersion(f"version {path.name} is damaged")
    return Snapshot(path, aside, trace)
