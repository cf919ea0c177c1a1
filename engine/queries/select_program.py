"""The program of a SQL service: its compiled query on open snapshots.

Rule: as `engine.program`: what depends on the plan alone is made once and shared by the
programs of all versions; a program holds a lease on each snapshot it reads until it is
closed and the last answer begun with it is done.
"""

from collections.abc import Callable, Mapping

from engine.forms.media import JSON
from engine.forms.rendering import Renderings
from engine.http.answering import Running
from engine.http.call import RESERVED, Call
from engine.leases import Leases
from engine.params import Binder
from engine.plan import Plan, Select
from engine.program import Compiled, Program, no_such_text
from engine.queries.paging import Cursors
from engine.queries.query_program import CompiledQuery
from engine.queries.running import RunningQuery
from engine.snapshot import Snapshot, store_fault
from havok.errors import BadParam, StoreDown


class CompiledSelect:
    """A plan's code, binder and renderings."""

    def __init__(self, plan: Plan, access: Select) -> None:
        self.plan = plan
        self.binder = Binder(access.params, RESERVED)
        self.query = CompiledQuery(access.query, plan.service, [param.name for param in access.params])
        self.point = None if access.point is None else Compiled(plan, access.point)
        self.renderings = Renderings(self.query.answer)


class SelectProgram:
    """`query(text)` answers a canonical query string at once, where the plan is a mere look-up."""

    def __init__(self, compiled: CompiledSelect, snapshots: Mapping[str, Snapshot]) -> None:
        """Raises PlanError, DamagedVersion."""
        plan = compiled.plan
        self.plan = plan
        self._select = compiled.query.bind(snapshots, plan.rows_max)  # it may fail, and then nothing is leased
        self._leases = Leases(plan.datasets, snapshots)
        self.snapshots = self._leases.snapshots
        self._compiled = compiled
        versions = ",".join(f"{dataset}@{version}" for dataset, version in self._leases.versions.items())
        self._cursors = Cursors(compiled.query.query, [param.name for param in plan.params], versions)
        self._point = None if compiled.point is None else Program(compiled.point, snapshots)
        self.query: Callable[[bytes], bytes | None] = self._point.query if self._point else no_such_text

    @property
    def takes_turns(self) -> bool:
        """It is no mere look-up."""
        return self._point is None

    @property
    def closed(self) -> bool:
        return self._leases.closed

    def at_once(self, call: Call) -> bytes | None:
        """The JSON of the data of a mere look-up; None: the query must run. Raises BadParam."""
        point = self._point
        if point is None or call.media != JSON or call.meta or call.cursor is not None:
            return None
        bind = point.binder.from_texts if call.texts else point.binder.from_object
        return point.point(*bind(call.values))

    def start(self, call: Call) -> Running:
        """Raises BadParam."""
        compiled = self._compiled
        values = (compiled.binder.from_texts if call.texts else compiled.binder.from_object)(call.values)
        after = None
        if call.cursor is not None:
            if not compiled.query.query.has_pages:
                raise BadParam("cursor", "unknown", f"service {self.plan.service} has no pages: its SQL has no LIMIT")
            after = self._cursors.position(call.cursor, values)
        rendering = compiled.renderings.begin(call.media, meta=call.meta)
        self._leases.begin()
        return RunningQuery(self._select(*values, after=after), rendering, self._cursors, values, self._leases.end)

    def fault(self, error: Exception) -> StoreDown | None:
        """What an error of the store means to the caller; None for any other error."""
        return store_fault(error, self.snapshots)

    def close(self) -> None:
        """No call begins any more; the leases go back with the last that did."""
        if self._point is not None:
            self._point.close()
        self._leases.close()
