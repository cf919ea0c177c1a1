"""The program of an analytical service: its statement, run elsewhere, on the versions it holds.

Rule: nothing of it runs in the loop but the passing on of bytes. Who runs it is given
(`Runner`): this knows no process. Its leases keep the versions' files where they are until
the last answer that reads them is done.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.analysis.analytical import Analytical
from engine.forms.media import CONTENT_TYPES
from engine.http.answering import Running, asleep
from engine.http.call import RESERVED, Call
from engine.leases import Leases
from engine.params import Binder
from engine.plan import Analysis, Plan
from engine.program import no_such_text
from engine.snapshot import Snapshot
from havok.errors import BadParam, HavokError


class Body(Protocol):
    """A body as it arrives; see `engine.http.answering.Running`."""

    wake: Callable[[], None]

    @property
    def done(self) -> bool: ...

    @property
    def waiting(self) -> bool: ...

    def step(self, until_ns: int) -> bytes: ...

    def close(self) -> None: ...


class Runner(Protocol):
    def run(
        self,
        service: str,
        analytical: Analytical,
        versions: Mapping[str, str],
        values: Mapping[str, Any],
        media: str,
        meta: bool,
    ) -> Body:
        """`versions`: verified ones. Raises a HavokError when it cannot be begun."""


class CompiledAnalysis:
    """A plan's binder: the rest is the runner's."""

    def __init__(self, plan: Plan, access: Analysis) -> None:
        self.plan = plan
        self.access = access
        self.binder = Binder(access.params, RESERVED)


class AnalysisProgram:
    def __init__(self, compiled: CompiledAnalysis, snapshots: Mapping[str, Snapshot], runner: Runner) -> None:
        self.plan = compiled.plan
        self._compiled = compiled
        self._runner = runner
        self._leases = Leases(compiled.plan.datasets, snapshots)
        self.snapshots = self._leases.snapshots
        self.query = no_such_text

    @property
    def closed(self) -> bool:
        return self._leases.closed

    def at_once(self, _call: Call) -> bytes | None:
        return None

    def start(self, call: Call) -> Running:
        """Raises BadParam, and what the runner raises."""
        binder, access = self._compiled.binder, self._compiled.access
        values = (binder.from_texts if call.texts else binder.from_object)(call.values)
        if call.cursor is not None:
            detail = "an analytical service has no cursors; give its SQL parameters for LIMIT and OFFSET"
            raise BadParam("cursor", "unknown", detail)
        named = {param.name: value for param, value in zip(access.params, values, strict=True)}
        versions = self._leases.versions
        body = self._runner.run(self.plan.service, access.analytical, versions, named, call.media, call.meta)
        self._leases.begin()
        return _Leased(body, call.media, self._leases.end)

    def fault(self, _error: Exception) -> HavokError | None:
        return None

    def close(self) -> None:
        """No call begins any more; the leases go back with the last that did."""
        self._leases.close()


class _Leased:
    """A body and the leases it needs."""

    cursor = None

    def __init__(self, body: Body, media: str, release: Callable[[], None]) -> None:
        self._body = body
        self._release: Callable[[], None] | None = release
        self.media = CONTENT_TYPES.get(media, media)

    @property
    def done(self) -> bool:
        return self._body.done

    @property
    def waiting(self) -> bool:
        return self._body.waiting

    @property
    def wake(self) -> Callable[[], None]:
        return self._body.wake

    @wake.setter
    def wake(self, wake: Callable[[], None]) -> None:
        self._body.wake = wake

    def step(self, until_ns: int) -> bytes:
        return self._body.step(until_ns)

    def close(self) -> None:
        release, self._release = self._release, None
        self._body.wake = asleep
        try:
            self._body.close()
        finally:
            if release is not None:
                release()
