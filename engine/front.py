"""Service settings and schemas → plan, by the kind of the service.

Rule: the SQL fronts are imported when a service needs them: what they stand on takes a tenth
of a second and 15 MB that a node without SQL services does not pay. A worker never does.
"""

import re
from collections.abc import Collection, Mapping

from engine.plan import Plan, PlanError
from engine.planner import plan_lookup
from havok.manifest import Manifest
from havok.settings import ServiceSettings

_WORD = re.compile(r"[a-z][a-z0-9_]*")


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


def datasets_of(settings: ServiceSettings, declared: Collection[str]) -> tuple[str, ...]:
    """The names of the datasets a service reads, each once; none where its SQL cannot be read.

    Of an analytical service those of the declared ones that its SQL mentions: what it reads of
    them is DuckDB's to say, and the plan's.
    """
    if settings.kind == "kv":
        assert settings.dataset is not None, "settings were checked"
        return (settings.dataset,)
    assert settings.sql is not None, "settings were checked"
    if settings.analytical:
        words = set(_WORD.findall(settings.sql.lower()))
        return tuple(name for name in declared if name in words or f'"{name}"' in settings.sql.lower())
    from engine.sql.planner import tables_of

    return tables_of(settings.sql)
