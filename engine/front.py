"""Service settings and schemas → plan, by the kind of the service.

Rule: the SQL fronts are imported when a service needs them: what they stand on takes a tenth
of a second and 15 MB that a node without SQL services does not pay. A worker never does.
"""

from collections.abc import Mapping

from engine.plan import Plan, PlanError
from engine.planner import plan_lookup
from havok.manifest import Manifest
from havok.settings import ServiceSettings


def plan_service(name: str, settings: ServiceSettings, manifests: Mapping[str, Manifest]) -> Plan:
    """`manifests`: of the datasets it reads. Raises PlanError, which names the service."""
    if settings.kind == "kv":
        assert settings.dataset is not None, "settings were checked"
        return plan_lookup(name, settings, manifests[settings.dataset])
    from engine.sql.planner import plan_sql

    try:
        return plan_sql(name, settings, manifests)
    except PlanError as error:
        raise PlanError(f"service {name}: {error.detail.removeprefix(f'service {name}: ')}") from None


def datasets_of(settings: ServiceSettings) -> tuple[str, ...]:
    """The names of the datasets a service reads, each once; none where its SQL cannot be read."""
    if settings.kind == "kv":
        assert settings.dataset is not None, "settings were checked"
        return (settings.dataset,)
    from engine.sql.planner import tables_of

    assert settings.sql is not None, "settings were checked"
    return tables_of(settings.sql)
