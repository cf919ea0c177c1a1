"""A plan: everything a worker needs to generate the code of one service.

Rule: plain frozen data that crosses the bus, made by a front (`planner` for kv; SQL is to
be a second front over the same structs) and read by `codegen`. A plan names datasets, not
versions: it is bound to open snapshots when it becomes a program.
"""

import msgspec

from havok.errors import HavokError
from havok.keys import KeyKind


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a parameter must meet beyond its type. Bounds of dates are ISO text."""

    min: int | float | str | None = None
    max: int | float | str | None = None
    pattern: str | None = None
    enum: tuple[str | int | float, ...] = ()


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    kind: KeyKind
    rules: Rules = Rules()
    default: str | int | float | bool | None = None


class Point(msgspec.Struct, frozen=True, tag="point"):
    """One row by its whole key: parameter i is key column i."""

    dataset: str
    params: tuple[Param, ...]


Access = Point  # ranges and index lookups join this union with the SQL front


class WholeRow(msgspec.Struct, frozen=True, tag="row"):
    """The stored JSON as it is."""


class Fields(msgspec.Struct, frozen=True, tag="fields"):
    """Some of its fields, in this order, their bytes untouched."""

    names: tuple[str, ...]


Output = WholeRow | Fields


class OutputColumn(msgspec.Struct, frozen=True):
    """A column of the answer, with its DuckDB type: what typed renderings go by."""

    name: str
    type: str


class Plan(msgspec.Struct, frozen=True):
    service: str
    compartment: str
    kind: str
    access: Access
    output: Output
    columns: tuple[OutputColumn, ...]
    batch_max: int
    rows_max: int  # bound on rows read by one request outside a batch
    rate_rps: float | None = None
    rate_burst: int = 1

    @property
    def datasets(self) -> tuple[str, ...]:
        return (self.access.dataset,)

    @property
    def params(self) -> tuple[Param, ...]:
        return self.access.params


class PlanError(HavokError):
    """The service cannot be compiled on this schema; the detail says why."""

    code = "bad_plan"
    title = "Plan refused"
