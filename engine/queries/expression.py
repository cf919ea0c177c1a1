"""Typed SQL expressions, as a plan carries them over the bus.

Rule: plain frozen data. Names and types are settled (`engine.sql`), implicit casts are
written out, and what an operator means is `engine.queries.scalar`'s. `type` is a text as
`engine.sqltype` reads it; what is not `nullable` never yields NULL.
"""

from typing import Literal as OneOf

import msgspec

Operator = OneOf[
    "neg", "add", "sub", "mul", "div", "intdiv", "mod",
    "eq", "ne", "lt", "le", "gt", "ge", "distinct", "not_distinct",
    "and", "or", "not", "is_null", "in", "like", "ilike", "join",
]  # fmt: skip
COMPARISONS: frozenset[str] = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
AggregateName = OneOf["count", "sum", "avg", "min", "max"]


class Column(msgspec.Struct, frozen=True, tag_field="node", tag="column"):
    """`source` 0 is the table that is read, others are joined to it."""

    source: int
    name: str
    type: str
    nullable: bool = True


class Argument(msgspec.Struct, frozen=True, tag_field="node", tag="argument"):
    """A parameter's value, from the request; a list where `type` ends in []."""

    name: str
    type: str
    nullable: bool = False


class Constant(msgspec.Struct, frozen=True, tag_field="node", tag="constant"):
    """DECIMAL, dates and timestamps as their text; None is NULL."""

    value: str | int | float | bool | None
    type: str

    @property
    def nullable(self) -> bool:
        return self.value is None


class Operation(msgspec.Struct, frozen=True, tag_field="node", tag="operation"):
    op: Operator
    args: tuple["Expression", ...]
    type: str
    nullable: bool


class Cast(msgspec.Struct, frozen=True, tag_field="node", tag="cast"):
    arg: "Expression"
    type: str

    @property
    def nullable(self) -> bool:
        return self.arg.nullable


class Call(msgspec.Struct, frozen=True, tag_field="node", tag="call"):
    """A function of `engine.queries.functions`; NULL for a NULL argument, unless it says otherwise."""

    function: str
    args: tuple["Expression", ...]
    type: str
    nullable: bool


class Case(msgspec.Struct, frozen=True, tag_field="node", tag="case"):
    """The first of `whens` (condition, value) that is TRUE; conditions are BOOLEAN, values of one type."""

    whens: tuple[tuple["Expression", "Expression"], ...]
    otherwise: "Expression"
    type: str
    nullable: bool


class Coalesce(msgspec.Struct, frozen=True, tag_field="node", tag="coalesce"):
    args: tuple["Expression", ...]
    type: str
    nullable: bool


class Grouped(msgspec.Struct, frozen=True, tag_field="node", tag="grouped"):
    """The value of the grouping expression of that number."""

    index: int
    type: str
    nullable: bool


class Aggregated(msgspec.Struct, frozen=True, tag_field="node", tag="aggregated"):
    """The value of the plan's aggregate of that number."""

    index: int
    type: str
    nullable: bool


Expression = Column | Argument | Constant | Operation | Cast | Call | Case | Coalesce | Grouped | Aggregated


class Aggregate(msgspec.Struct, frozen=True):
    """`arg` None: count(*). `only`: rows for which it is TRUE (FILTER)."""

    name: AggregateName
    arg: Expression | None
    type: str
    distinct: bool = False
    only: Expression | None = None


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that this one is made of, in the order they stand in."""
    if isinstance(expression, Operation | Call | Coalesce):
        return expression.args
    if isinstance(expression, Cast):
        return (expression.arg,)
    if isinstance(expression, Case):
        return (*(part for when in expression.whens for part in when), expression.otherwise)
    return ()


def columns(expression: Expression) -> set[Column]:
    """Every column it reads."""
    if isinstance(expression, Column):
        return {expression}
    return {column for child in children(expression) for column in columns(child)}


def arguments(expression: Expression) -> set[str]:
    """The names of the parameters it takes."""
    if isinstance(expression, Argument):
        return {expression.name}
    return {name for child in children(expression) for name in arguments(child)}
