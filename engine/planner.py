"""The key-value front: service settings and a dataset's schema → plan.

Rule: pure; refuses with a PlanError what could fail at request time. It opens nothing.
"""

import re
from difflib import get_close_matches

from engine.params import Binder
from engine.plan import Fields, OutputColumn, Param, Plan, PlanError, Point, Rules, WholeRow
from havok.errors import BadParam
from havok.keys import KeyColumn, KeyKind
from havok.manifest import Manifest
from havok.settings import ParamSettings, ServiceSettings

_DECLARED: dict[str, tuple[KeyKind, ...]] = {
    "string": ("string",),
    "int": ("int", "uint", "wide"),
    "bool": ("bool",),
    "date": ("date",),
    "timestamp": ("timestamp",),
}


def plan_service(name: str, settings: ServiceSettings, manifest: Manifest) -> Plan:
    """Raises PlanError naming the column or parameter that does not fit."""
    names = tuple(column.name for column in manifest.columns)
    for field in settings.fields:
        if field not in names:
            raise PlanError(
                f"service {name}: dataset {settings.dataset} has no column {field!r}{_nearest(field, names)}"
            )
    key_names = tuple(column.name for column in manifest.key)
    for param in settings.params:
        if param not in key_names:
            raise PlanError(
                f"service {name}: parameter {param!r} is not a key column of {settings.dataset}"
                f"{_nearest(param, key_names)}"
            )
    shown = settings.fields or names
    types = {column.name: column.type for column in manifest.columns}
    limit = settings.rate_limit
    return Plan(
        service=name,
        compartment=settings.compartment,
        kind=settings.kind,
        access=Point(
            dataset=settings.dataset,
            params=tuple(_param(name, column, settings.params.get(column.name)) for column in manifest.key),
        ),
        output=Fields(settings.fields) if settings.fields else WholeRow(),
        columns=tuple(OutputColumn(column, types[column]) for column in shown),
        batch_max=settings.batch_max,
        rows_max=1,
        rate_rps=limit.rps if limit else None,
        rate_burst=limit.burst if limit else 1,
    )


def _param(service: str, column: KeyColumn, settings: ParamSettings | None) -> Param:
    if settings is None:
        return Param(column.name, column.kind)
    if settings.type is not None and column.kind not in _DECLARED.get(settings.type, ()):
        raise PlanError(
            f"service {service}: parameter {column.name!r} is declared {settings.type}, "
            f"but the key column is {column.kind}"
        )
    rules = Rules(min=settings.min, max=settings.max, pattern=settings.pattern, enum=settings.enum)
    if rules.pattern is not None and column.kind != "string":
        raise PlanError(f"service {service}: parameter {column.name!r} is {column.kind}; a pattern needs a string")
    param = Param(column.name, column.kind, rules, settings.default)
    try:
        binder = Binder((param,))
        if param.default is not None:
            binder.from_object({column.name: param.default})
    except ValueError:
        raise PlanError(
            f"service {service}: a rule or the default of parameter {column.name!r} is no {column.kind}"
        ) from None
    except re.error as error:
        raise PlanError(f"service {service}: the pattern of {column.name!r} is malformed: {error}") from None
    except BadParam as error:
        raise PlanError(f"service {service}: the default breaks a rule: {error.detail}") from None
    return param


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
