"""Aggregates: which of them an expression calls, each once.

Rule: they stand where rows have become groups, in SELECT, HAVING and ORDER BY, and never in
one another.
"""

from sqlglot import exp

from engine.queries.expression import Aggregate, Aggregated, AggregateName, Expression
from engine.sql.scope import Scope
from engine.sql.statement import Statement
from engine.sql.values import Values
from engine.sqltype import decimal, family, is_number, width_and_scale

AGGREGATES: dict[type[exp.Expression], AggregateName] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
}


class Aggregates(Values):
    """`aggregates` collects those of the statement as they are met."""

    def __init__(self, statement: Statement, scope: Scope) -> None:
        super().__init__(statement, scope)
        self._inside = False
        self._allowed = False
        self.aggregates: list[Aggregate] = []

    def with_aggregates(self, node: exp.Expression) -> Expression:
        """An expression that aggregates may stand in."""
        self._allowed = True
        try:
            return self.expression(node)
        finally:
            self._allowed = False

    def boolean_with_aggregates(self, node: exp.Expression) -> Expression:
        """A condition over groups."""
        return self.boolean(node, self.with_aggregates(node))

    def _aggregate(self, node: exp.Expression) -> Expression:
        call, only = node, None
        if isinstance(node, exp.Filter):
            call = node.this
            if type(call) not in AGGREGATES:
                raise self.refuse(node, "FILTER belongs to an aggregate")
        if not self._allowed or self._inside:
            place = "inside another" if self._inside else "here; put it in SELECT or HAVING"
            raise self.refuse(node, f"an aggregate cannot stand {place}")
        self._inside = True
        try:
            if isinstance(node, exp.Filter):
                only = self.condition(node.expression.this)
            found = self._aggregate_of(call, AGGREGATES[type(call)], only)
        finally:
            self._inside = False
        if found not in self.aggregates:
            self.aggregates.append(found)
        index = self.aggregates.index(found)
        return Aggregated(index, found.type, found.name != "count")

    def _aggregate_of(self, call: exp.Expression, name: AggregateName, only: Expression | None) -> Aggregate:
        operand, distinct = call.this, False
        if isinstance(operand, exp.Distinct):
            if len(operand.expressions) != 1:
                raise self.refuse(call, "DISTINCT in an aggregate takes one expression")
            operand, distinct = operand.expressions[0], True
        if name == "count" and (operand is None or isinstance(operand, exp.Star)):
            return Aggregate(name, None, "BIGINT", False, only)
        arg = self.expression(operand)
        if name in ("min", "max", "count"):
            if family(arg.type) == "opaque" and (name != "count" or distinct):
                raise self.refuse(call, f"{arg.type} values cannot be compared")
            kind = "BIGINT" if name == "count" else "INTEGER" if arg.type == "NULL" else arg.type
            return Aggregate(name, arg, kind, distinct and name == "count", only)
        if not is_number(arg.type):
            raise self.refuse(call, f"{name} takes numbers, this is {arg.type}")
        kind = "DOUBLE"
        if name == "sum" and family(arg.type) == "int":
            kind = "HUGEINT"
        elif name == "sum" and family(arg.type) == "decimal":
            kind = decimal(38, width_and_scale(arg.type)[1])
        return Aggregate(name, arg, kind, distinct, only)
