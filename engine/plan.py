"""A plan: everything a worker needs to generate the code of one service.

Rule: plain frozen data that crosses the bus, made by a front (`planner` for kv, `engine.sql`
for SQL) and read by the generators of code. A plan names datasets, not versions: it is bound
to open snapshots when it becomes a program.
"""

from typing import Literal

import msgspec

from engine.analysis.analytical import Analytical
from engine.column import OutputColumn
from engine.queries.query import Query
from havok.errors import HavokError
from havok.keys import KeyKind


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a parameter must meet beyond its type. Bounds of dates are ISO text."""

    min: int | float | str | None = None
    max: int | float | str | None = None
    pattern: str | None = None
    enum: tuple[str | int | float, ...] = ()


ParamKind = KeyKind | Literal["float", "decimal"]
Scalar = str | int | float | bool


class Param(msgspec.Struct, frozen=True, omit_defaults=True):
    """`type`: of the SQL value that a query takes, with [] behind for a list; none: a key's value is wanted.

    Of a list, `kind` and `rules` are each item's, and `items_max` bounds it.
    """

    name: str
    kind: ParamKind
    rules: Rules = Rules()
    default: Scalar | tuple[Scalar, ...] | None = None
    type: str = ""
    items_max: int | None = None

    @property
    def is_list(self) -> bool:
        return self.type.endswith("[]")

    @property
    def shown_type(self) -> str:
        """As a person would declare it."""
        return f"list<{self.kind}>" if self.is_list else self.kind


class WholeRow(msgspec.Struct, frozen=True, tag="row"):
    """The stored JSON as it is."""


class Fields(msgspec.Struct, frozen=True, tag="fields"):
    """Some of its fields, in this order, their bytes untouched."""

    names: tuple[str, ...]


Output = WholeRow | Fields


class Point(msgspec.Struct, frozen=True, tag="point"):
    """One row by its whole key: parameter i is key column i. `listed`: the answer is a list of one row or none."""

    dataset: str
    params: tuple[Param, ...]
    output: Output = WholeRow()
    batch_max: int = 1000  # keys in one request
    listed: bool = False

    @property
    def datasets(self) -> tuple[str, ...]:
        return (self.dataset,)


class Select(msgspec.Struct, frozen=True, tag="select"):
    """Rows by a compiled query. `point`: the same as a look-up, where it is no more than that."""

    query: Query
    params: tuple[Param, ...]
    point: Point | None = None

    @property
    def datasets(self) -> tuple[str, ...]:
        return self.query.datasets


class Analysis(msgspec.Struct, frozen=True, tag="analysis"):
    """Rows by DuckDB over the cold twins, in an executor."""

    analytical: Analytical
    params: tuple[Param, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        return self.analytical.datasets


Access = Point | Select | Analysis


class Plan(msgspec.Struct, frozen=True):
    service: str
    compartment: str
    kind: str
    access: Access
    columns: tuple[OutputColumn, ...]
    rows_max: int  # bound on rows read by one request outside a batch
    rate_rps: float | None = None
    rate_burst: int = 1
    weight: float = 1.0  # of its share of a worker's time

    @property
    def datasets(self) -> tuple[str, ...]:
        return self.access.datasets

    @property
    def params(self) -> tuple[Param, ...]:
        return self.access.params


class PlanError(HavokError):
    """The service cannot be compiled on this schema; the detail says why."""

    code = "bad_plan"
    title = "Plan refused"
