"""From plan to program to route, whatever the plan's access is.

Rule: the one place that knows which program serves which access.
"""

from collections.abc import Mapping

from engine.analysis.analysis_program import AnalysisProgram, CompiledAnalysis, Runner
from engine.http.route import Route, SqlRoute
from engine.plan import Plan, Point, Select
from engine.program import Compiled, Program
from engine.queries.select_program import CompiledSelect, SelectProgram
from engine.snapshot import Snapshot

AnyCompiled = Compiled | CompiledSelect | CompiledAnalysis
AnyProgram = Program | SelectProgram | AnalysisProgram


def compile_plan(plan: Plan) -> AnyCompiled:
    """What depends on the plan alone. Raises PlanError when its code does not compile."""
    if isinstance(plan.access, Point):
        return Compiled(plan, plan.access)
    if isinstance(plan.access, Select):
        return CompiledSelect(plan, plan.access)
    return CompiledAnalysis(plan, plan.access)


def bind(compiled: AnyCompiled, snapshots: Mapping[str, Snapshot], runner: Runner | None) -> AnyProgram:
    """With a lease on each snapshot; `runner` is for what is not answered here."""
    if isinstance(compiled, Compiled):
        return Program(compiled, snapshots)
    if isinstance(compiled, CompiledSelect):
        return SelectProgram(compiled, snapshots)
    assert runner is not None, "an analytical plan comes with its limits"
    return AnalysisProgram(compiled, snapshots, runner)


def route_class(program: AnyProgram) -> type[Route]:
    return Route if isinstance(program, Program) else SqlRoute
