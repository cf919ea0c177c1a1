"""Conditions: comparisons and their lists, ranges and patterns, under SQL's three-valued logic.

Rule: what a condition compares is of one type when it is made; NULL is a possible value of it
unless its parts cannot be NULL.
"""

from sqlglot import exp

from engine.queries.expression import Argument, Constant, Expression, Operation, Operator
from engine.sql.casting import Casting
from engine.sql.parameters import DECLARED, param_type
from engine.sqltype import common

COMPARISONS: dict[type[exp.Expression], Operator] = {
    exp.EQ: "eq",
    exp.NEQ: "ne",
    exp.LT: "lt",
    exp.LTE: "le",
    exp.GT: "gt",
    exp.GTE: "ge",
    exp.NullSafeEQ: "not_distinct",
    exp.NullSafeNEQ: "distinct",
}


class Conditions(Casting):
    def condition(self, node: exp.Expression) -> Expression:
        """The same, BOOLEAN."""
        found = self.expression(node)
        return self.boolean(node, found)

    def boolean(self, node: exp.Expression, found: Expression) -> Expression:
        if found.type == "NULL":
            return Constant(None, "BOOLEAN")
        if found.type != "BOOLEAN":
            raise self.refuse(node, f"a condition must be BOOLEAN, this is {found.type}")
        return found

    def _logical(self, node: exp.Expression) -> Expression:
        op: Operator = "and" if isinstance(node, exp.And) else "or"
        args = tuple(self._flat(node, op))
        return Operation(op, args, "BOOLEAN", any(arg.nullable for arg in args))

    def _flat(self, node: exp.Expression, op: Operator) -> list[Expression]:
        """The operands of a chain of ANDs or ORs."""
        found: list[Expression] = []
        for side in (node.this, node.expression):
            made = self.condition(side)
            if isinstance(made, Operation) and made.op == op:
                found.extend(made.args)
            else:
                found.append(made)
        return found

    def _not(self, node: exp.Not) -> Expression:
        return self.negated(self.condition(node.this))

    def negated(self, found: Expression) -> Expression:
        return Operation("not", (found,), "BOOLEAN", found.nullable)

    def _comparison(self, node: exp.Expression, op: Operator) -> Expression:
        left, right = self.pair(node, node.this, node.expression)
        return self.compared(op, left, right)

    def compared(self, op: Operator, left: Expression, right: Expression) -> Expression:
        nullable = op not in ("distinct", "not_distinct") and (left.nullable or right.nullable)
        return Operation(op, (left, right), "BOOLEAN", nullable)

    def pair(self, node: exp.Expression, left: exp.Expression, right: exp.Expression) -> tuple[Expression, Expression]:
        """Two sides of a comparison, as one type."""
        if isinstance(left, exp.Placeholder) and not isinstance(right, exp.Placeholder):
            made_right = self.expression(right)
            return self.united(node, self._scope.argument(left, made_right.type), made_right)
        made_left = self.expression(left)
        if isinstance(right, exp.Placeholder):
            return self.united(node, made_left, self._scope.argument(right, made_left.type))
        return self.united(node, made_left, self.expression(right))

    def _between(self, node: exp.Between) -> Expression:
        low = self.compared("ge", *self.pair(node, node.this, node.args["low"]))
        high = self.compared("le", *self.pair(node, node.this, node.args["high"]))
        return Operation("and", (low, high), "BOOLEAN", low.nullable or high.nullable)

    def _in(self, node: exp.In) -> Expression:
        if node.args.get("query") is not None or node.args.get("unnest") is not None:
            raise self.refuse(node, "IN takes a list of values or a :list parameter, not a query")
        if node.args.get("field") is not None:
            field = node.args["field"]
            shown = f":{field.name}" if isinstance(field, exp.Placeholder) else "…"
            raise self.refuse(node, f"the values of IN stand in brackets: IN ({shown})")
        needle = self.expression(node.this)
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Placeholder):
            found = self._list(items[0], needle)
            if found is not None:
                kind = common(needle.type, found.type.removesuffix("[]"))
                if kind is None:
                    raise self.clash(node, needle, found)
                return Operation("in", (self.cast(node, needle, kind), found), "BOOLEAN", needle.nullable)
        made = [self.united(node, needle, self._item(item, needle)) for item in items]
        kinds = {left.type for left, _ in made}
        if len(kinds) > 1 or any(not isinstance(item, Constant | Argument) for _, item in made):
            args = tuple(self.compared("eq", left, right) for left, right in made)
            return Operation("or", args, "BOOLEAN", any(arg.nullable for arg in args)) if len(args) > 1 else args[0]
        values = tuple(item for _, item in made)
        nullable = needle.nullable or any(item.nullable for item in values)
        return Operation("in", (made[0][0], *values), "BOOLEAN", nullable)

    def _item(self, item: exp.Expression, needle: Expression) -> Expression:
        if isinstance(item, exp.Placeholder):
            return self._scope.argument(item, needle.type)
        return self.expression(item)

    def _list(self, node: exp.Placeholder, needle: Expression) -> Argument | None:
        """A parameter that is a list, when it is one."""
        declared = self._scope.declared(node.name)
        if declared is not None and not declared.startswith("list<"):
            return None
        item = DECLARED.get(declared[5:-1]) if declared else param_type(needle.type)
        if item is None:
            raise self.refuse(node, f"no list of values can be compared with {needle.type}")
        return self._scope.list_argument(node, f"{item}[]")

    def _is(self, node: exp.Is) -> Expression:
        left = self.expression(node.this)
        if isinstance(node.expression, exp.Null):
            return Operation("is_null", (left,), "BOOLEAN", False)
        wanted = self.boolean(node, left)
        return self.compared("not_distinct", wanted, self.expression(node.expression))

    def _like(self, node: exp.Expression) -> Expression:
        op: Operator = "ilike" if isinstance(node, exp.ILike) else "like"
        left = self.expression(node.this)
        right = node.expression
        pattern = (
            self._scope.argument(right, "VARCHAR") if isinstance(right, exp.Placeholder) else self.expression(right)
        )
        for part in (left, pattern):
            if part.type not in ("VARCHAR", "NULL"):
                reason = f"LIKE compares VARCHAR, this is {part.type}; write CAST(… AS VARCHAR)"
                raise self.refuse(node, reason + self.by_setting(part))
        found = Operation(op, (left, pattern), "BOOLEAN", left.nullable or pattern.nullable)
        return self.negated(found) if node.args.get("negate") else found
