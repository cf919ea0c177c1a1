"""The key-value front: service settings and a dataset's schema → plan.

Rule: pure; refuses with a PlanError what could fail at request time. It opens nothing.
"""

import re
from difflib import get_close_matches

import msgspec

from engine.column import OutputColumn
from engine.params import Binder
from engine.plan import Fields, Param, Plan, PlanError, Point, Rules, WholeRow
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


def plan_lookup(name: str, settings: ServiceSettings, manifest: Manifest) -> Plan:
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
    rate_rps, rate_burst = rate_of(settings)
    return Plan(
        service=name,
        compartment=settings.compartment,
        kind=settings.kind,
        access=Point(
            dataset=manifest.dataset,
            params=tuple(_param(name, column, settings.params.get(column.name)) for column in manifest.key),
            output=Fields(settings.fields) if settings.fields else WholeRow(),
            batch_max=settings.batch_max,
        ),
        columns=tuple(OutputColumn(column, types[column]) for column in shown),
        rows_max=1,
        rate_rps=rate_rps,
        rate_burst=rate_burst,
        weight=settings.weight,
    )


def rate_of(settings: ServiceSettings) -> tuple[float | None, int]:
    """(requests a second or None, burst)."""
    limit = settings.rate_limit
    return (None, 1) if limit is None else (limit.rps, limit.burst)


def _param(service: str, column: KeyColumn, settings: ParamSettings | None) -> Param:
    if settings is not None and settings.type is not None and column.kind not in _DECLARED.get(settings.type, ()):
        raise PlanError(
            f"service {service}: parameter {column.name!r} is declared {settings.type}, "
            f"but the key column is {column.kind}"
        )
    return make_param(service, Param(column.name, column.kind), settings)


def make_param(service: str, param: Param, settings: ParamSettings | None) -> Param:
    """The parameter with the rules that were set for it. Raises PlanError when they do not fit."""
    if settings is None:
        return param
    name = param.name
    rules = Rules(min=settings.min, max=settings.max, pattern=settings.pattern, enum=settings.enum)
    if rules.pattern is not None and param.kind != "string":
        raise PlanError(f"service {service}: parameter {name!r} is {param.kind}; a pattern needs a string")
    param = msgspec.structs.replace(param, rules=rules, default=settings.default, items_max=settings.max_items)
    try:
        binder = Binder((param,))
        if param.default is not None:
            binder.from_object({name: param.default})
    except ValueError:
        reason = f"service {service}: a rule or the default of parameter {name!r} is no {param.shown_type}"
        raise PlanError(reason) from None
    except re.error as error:
        raise PlanError(f"service {service}: the pattern of {name!r} is malformed: {error}") from None
    except BadParam as error:
        raise PlanError(f"service {service}: the default breaks a rule: {error.detail}") from None
    return param


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known)}"
