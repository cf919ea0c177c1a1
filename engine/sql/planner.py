"""A SQL service's settings and its datasets' schemas → plan.

Rule: pure but for the SQL parser; refuses with a PlanError what could fail at request time.
"""

from collections.abc import Mapping
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engine.column import OutputColumn
from engine.param_values import param_kind
from engine.plan import Analysis, Fields, Param, Plan, PlanError, Point, Select
from engine.planner import make_param, rate_of
from engine.queries.expression import Argument, Column
from engine.queries.query import Query
from engine.sql.front import compile_sql
from havok.manifest import Manifest
from havok.settings import ParamSettings, ServiceSettings
from havok.typed import nearest

STATEMENTS_REMEMBERED = 1024  # which datasets they read is asked again with every version


def plan_sql(name: str, settings: ServiceSettings, manifests: Mapping[str, Manifest]) -> Plan:
    """`manifests`: of the datasets that may be named. Raises PlanError."""
    assert settings.sql is not None, "settings were checked"
    if settings.analytical:
        return _plan_analysis(name, settings, settings.sql, manifests)
    found = compile_sql(settings.sql, manifests, settings.params)
    params = sql_params(name, found.params, settings.params)
    rate_rps, rate_burst = rate_of(settings)
    return Plan(
        service=name,
        compartment=settings.compartment,
        kind=settings.kind,
        access=Select(found.query, params, _point(found.query, params)),
        columns=tuple(OutputColumn(item.name, item.value.type) for item in found.query.outputs),
        rows_max=settings.max_rows_scanned,
        rate_rps=rate_rps,
        rate_burst=rate_burst,
        weight=settings.weight,
    )


def _plan_analysis(name: str, settings: ServiceSettings, sql: str, manifests: Mapping[str, Manifest]) -> Plan:
    from engine.sql.analytical import compile_analytical

    analytical, types = compile_analytical(sql, manifests, settings.params)
    rate_rps, rate_burst = rate_of(settings)
    return Plan(
        service=name,
        compartment=settings.compartment,
        kind=settings.kind,
        access=Analysis(analytical, sql_params(name, types, settings.params)),
        columns=analytical.columns,
        rows_max=0,
        rate_rps=rate_rps,
        rate_burst=rate_burst,
        weight=settings.weight,
    )


def sql_params(name: str, types: Mapping[str, str], settings: Mapping[str, ParamSettings]) -> tuple[Param, ...]:
    """The parameters that a statement takes (name → SQL type), with the rules that were set for them."""
    for param in settings:
        if param not in types:
            meant = nearest(param, types)
            known = f"did you mean {meant}?" if meant else f"it takes {', '.join(types) or 'none'}"
            raise PlanError(f"the SQL has no parameter :{param}; {known}")
    made = (Param(param, param_kind(kind), type=kind) for param, kind in types.items())
    return tuple(make_param(name, param, settings.get(param.name)) for param in made)


def _point(query: Query, params: tuple[Param, ...]) -> Point | None:
    """The query as a look-up of one row's fields, when it is no more than that."""
    seek = query.seek
    names = [item.name for item in query.outputs if isinstance(item.value, Column) and item.value.name == item.name]
    plain = not (query.lookups or query.where is not None or query.is_grouped or query.has_pages or query.offset)
    if not plain or not seek.is_whole_key or len(names) != len(query.outputs):
        return None
    sought = [values[0] for values in seek.equals if len(values) == 1]
    arguments = [value.name for value in sought if isinstance(value, Argument) and not value.type.endswith("[]")]
    if len(arguments) != len(seek.columns) or len(set(arguments)) != len(arguments):
        return None
    by_name = {param.name: param for param in params}
    bound = tuple(
        Param(name, column.kind, by_name[name].rules, by_name[name].default)
        for name, column in zip(arguments, seek.columns, strict=True)
    )
    return Point(seek.dataset, bound, Fields(tuple(names)), listed=True)


@lru_cache(STATEMENTS_REMEMBERED)
def tables_of(sql: str) -> tuple[str, ...]:
    """The names of the tables that a statement reads, each once; none where it cannot be read."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect="duckdb") if tree is not None]
    except (SqlglotError, RecursionError):
        return ()
    named = {cte.alias.lower() for tree in trees for cte in tree.find_all(exp.CTE)}
    tables = [table.name.lower() for tree in trees for table in tree.find_all(exp.Table) if table.name]
    return tuple(dict.fromkeys(table for table in tables if table not in named))
