"""Values: arithmetic, text, CASE and their like, typed as DuckDB types them.

Rule: an operand is cast where DuckDB casts it, and the cast is written out.
"""

from sqlglot import exp

from engine.queries.expression import Call, Case, Coalesce, Constant, Expression, Operation, Operator
from engine.sql.casting import is_small_literal
from engine.sql.conditions import Conditions
from engine.sqltype import (
    INTEGERS,
    WIDTH_MAX,
    calculated,
    decimal,
    family,
    is_number,
    product_of_decimals,
    sum_of_decimals,
    width_and_scale,
)
from havok.keys import INT_MIN

ARITHMETIC: dict[type[exp.Expression], Operator] = {
    exp.Add: "add",
    exp.Sub: "sub",
    exp.Mul: "mul",
    exp.Div: "div",
    exp.IntDiv: "intdiv",
    exp.Mod: "mod",
}
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "intdiv": "//", "mod": "%"}
# Constants whose type a minus changes.
_NEGATED: dict[tuple[int | float, str], str] = {(-INT_MIN, "HUGEINT"): "BIGINT", (INT_MIN, "BIGINT"): "HUGEINT"}


class Values(Conditions):
    def _arithmetic(self, node: exp.Expression, op: Operator) -> Expression:
        left, right = self._operand(node.this, node.expression), self._operand(node.expression, node.this)
        dated = self._date_arithmetic(op, left, right)
        if dated is not None:
            return dated
        for part in (left, right):
            if part.type != "NULL" and not is_number(part.type):
                raise self.refuse(node, f"{_SIGNS[op]} takes numbers, this is {part.type}{self.by_setting(part)}")
            if family(part.type) == "float":
                raise self.refuse(node, "FLOAT is not calculated with; write CAST(… AS DOUBLE)")
        nullable = left.nullable or right.nullable
        if op == "div":
            left, right = self.cast(node, left, "DOUBLE"), self.cast(node, right, "DOUBLE")
            return Operation(op, (left, right), "DOUBLE", nullable)
        decimals = "decimal" in (family(left.type), family(right.type))
        if decimals and op != "intdiv" and "NULL" in (left.type, right.type):
            return Constant(None, "NULL")
        if decimals and op in ("add", "sub", "mul"):
            return self._decimal_arithmetic(node, op, left, right, nullable)
        kind = self.common(node, left, right)
        if kind == "NULL":
            kind = "BIGINT"
        elif kind in INTEGERS and not is_small_literal(left) and not is_small_literal(right):
            kind = calculated(left.type if left.type != "NULL" else kind, right.type if right.type != "NULL" else kind)
        if op == "intdiv" and family(kind) in ("decimal", "double"):
            raise self.refuse(node, "// takes integers; for others write FLOOR(a / b)")
        if family(kind) == "decimal" and _too_wide(left.type, right.type):
            args = self.cast(node, left, "DOUBLE"), self.cast(node, right, "DOUBLE")
            return Call("wide_remainder", args, "DOUBLE", nullable)
        return Operation(op, (self.cast(node, left, kind), self.cast(node, right, kind)), kind, nullable)

    def _operand(self, node: exp.Expression, other: exp.Expression) -> Expression:
        if isinstance(node, exp.Placeholder) and not isinstance(other, exp.Placeholder):
            return self._scope.argument(node, self.expression(other).type)
        return self.expression(node)

    def _decimal_arithmetic(
        self, node: exp.Expression, op: Operator, left: Expression, right: Expression, nullable: bool
    ) -> Expression:
        if "double" in (family(left.type), family(right.type)):
            args = self.cast(node, left, "DOUBLE"), self.cast(node, right, "DOUBLE")
            return Operation(op, args, "DOUBLE", nullable)
        left, right = (self._as_decimal(node, part) for part in (left, right))
        kind = product_of_decimals(left.type, right.type) if op == "mul" else sum_of_decimals(left.type, right.type)
        if kind is None:
            raise self.refuse(node, "the product has more than 38 decimal places; cast an operand to fewer")
        return Operation(op, (left, right), kind, nullable)

    def _as_decimal(self, node: exp.Expression, part: Expression) -> Expression:
        if family(part.type) == "decimal":
            return part
        return self.cast(node, part, decimal(width_and_scale(part.type)[0], 0))

    def _date_arithmetic(self, op: Operator, left: Expression, right: Expression) -> Expression | None:
        """DATE ± days and DATE - DATE."""
        nullable = left.nullable or right.nullable
        if op == "add" and family(left.type) == "int" and right.type == "DATE":
            left, right = right, left
        if left.type == "DATE" and family(right.type) == "int" and op in ("add", "sub"):
            if op == "sub":
                right = Operation("neg", (right,), right.type, right.nullable)
            return Call("add_days", (left, right), "DATE", nullable)
        if left.type == right.type == "DATE" and op == "sub":
            return Call("days_between", (left, right), "BIGINT", nullable)
        return None

    def _negative(self, node: exp.Neg) -> Expression:
        found = self.expression(node.this)
        if isinstance(found, Constant) and isinstance(found.value, int | float) and not isinstance(found.value, bool):
            return Constant(-found.value, _NEGATED.get((found.value, found.type), found.type))
        if isinstance(found, Constant) and family(found.type) == "decimal":
            text = str(found.value)
            return Constant(text[1:] if text.startswith("-") else f"-{text}", found.type)
        if not is_number(found.type) or family(found.type) == "float":
            raise self.refuse(node, f"- takes a number, this is {found.type}")
        return Operation("neg", (found,), found.type, found.nullable)

    def _join(self, node: exp.DPipe) -> Expression:
        parts = [self.expression(node.this), self.expression(node.expression)]
        args = tuple(self.as_text(node, part) for part in parts)
        return Operation("join", args, "VARCHAR", any(arg.nullable for arg in args))

    def as_text(self, node: exp.Expression, part: Expression) -> Expression:
        return part if part.type == "VARCHAR" else self.cast(node, part, "VARCHAR")

    def _concat(self, node: exp.Concat) -> Expression:
        """concat() skips NULL, unlike ||."""
        args = []
        for item in node.expressions:
            part = self.as_text(node, self.expression(item))
            args.append(Coalesce((part, Constant("", "VARCHAR")), "VARCHAR", False) if part.nullable else part)
        return Operation("join", tuple(args), "VARCHAR", False) if len(args) > 1 else args[0]

    def _case(self, node: exp.Case) -> Expression:
        whens = []
        for branch in node.args["ifs"]:
            if node.this is not None:
                test = self.compared("eq", *self.pair(branch, node.this, branch.this))
            else:
                test = self.condition(branch.this)
            whens.append((test, self.expression(branch.args["true"])))
        default = node.args.get("default")
        otherwise = self.expression(default) if default is not None else Constant(None, "NULL")
        return self._cases(node, whens, otherwise)

    def _if(self, node: exp.If) -> Expression:
        false = node.args.get("false")
        otherwise = self.expression(false) if false is not None else Constant(None, "NULL")
        return self._cases(node, [(self.condition(node.this), self.expression(node.args["true"]))], otherwise)

    def _cases(
        self, node: exp.Expression, whens: list[tuple[Expression, Expression]], otherwise: Expression
    ) -> Expression:
        kind = self.common(node, *(value for _, value in whens), otherwise, in_column=True)
        made = tuple((test, self.cast(node, value, kind)) for test, value in whens)
        last = self.cast(node, otherwise, kind)
        return Case(made, last, kind, last.nullable or any(value.nullable for _, value in made))

    def _coalesce(self, node: exp.Coalesce) -> Expression:
        parts = [self.expression(item) for item in (node.this, *node.expressions)]
        kind = self.common(node, *parts, in_column=True)
        args = tuple(self.cast(node, part, kind) for part in parts)
        return Coalesce(args, kind, all(arg.nullable for arg in args))

    def _nullif(self, node: exp.Nullif) -> Expression:
        value = self.expression(node.this)
        same = self.compared("eq", *self.pair(node, node.this, node.expression))
        return Case(((same, Constant(None, value.type)),), value, value.type, True)

    def _extreme(self, node: exp.Expression) -> Expression:
        """greatest() and least(): NULLs are passed over."""
        parts = [self.expression(item) for item in (node.this, *node.expressions)]
        kind = self.common(node, *parts, in_column=True)
        if family(kind) in ("opaque", "float"):
            raise self.refuse(node, f"{kind} values cannot be compared")
        op: Operator = "ge" if isinstance(node, exp.Greatest) else "le"
        best = self.cast(node, parts[0], kind)
        for part in parts[1:]:
            other = self.cast(node, part, kind)
            wins = self.compared(op, best, other)
            whens = [(wins, best)]
            if other.nullable:
                whens.insert(0, (Operation("is_null", (other,), "BOOLEAN", False), best))
            if best.nullable:
                whens.insert(0, (Operation("is_null", (best,), "BOOLEAN", False), other))
            best = Case(tuple(whens), other, kind, best.nullable and other.nullable)
        return best

    def _cast(self, node: exp.Cast) -> Expression:
        if isinstance(node, exp.TryCast):
            raise self.refuse(node, "TRY_CAST is not supported")
        target = self.type_of(node.to)
        if isinstance(node.this, exp.Placeholder):
            return self.cast(node, self._scope.argument(node.this, target), target)
        found = self.expression(node.this)
        if isinstance(found, Constant) and found.type == "VARCHAR" and family(target) in ("date", "moment"):
            return self.dated(node, str(found.value), target)
        made = self.cast(node, found, target)
        if is_small_literal(made):  # of the type that was said, whatever it meets
            return Coalesce((made,), made.type, False)
        return made


def _too_wide(left: str, right: str) -> bool:
    """Whether no DECIMAL holds every value of both."""
    (width, scale), (other_width, other_scale) = (width_and_scale(kind) for kind in (left, right))
    return max(width - scale, other_width - other_scale) + max(scale, other_scale) > WIDTH_MAX
