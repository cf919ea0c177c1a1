"""Expression → the Python text of its value, and of the conditions that it is TRUE or FALSE.

Rule: SQL's three-valued logic is written out where it can matter and nowhere else: what is
not nullable is not tested, and a filter only asks whether it is TRUE. A value of a caller's
is never in the text. Literals of the service's own SQL are, where Python's text for them is
plain ASCII; others are constants of the namespace (`constants`).
"""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.queries import arithmetic, casts, functions
from engine.queries.expression import (
    COMPARISONS,
    Aggregated,
    Argument,
    Call,
    Case,
    Cast,
    Coalesce,
    Column,
    Constant,
    Expression,
    Grouped,
    Operation,
    children,
)
from engine.sqltype import INTEGERS, family
from havok.keys import parse_timestamp

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_OPPOSITES = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_INTEGER_SIGNS = {"add": "+", "sub": "-", "mul": "*"}


class Emitter:
    """`names`: the Python name under which a leaf's value is already at hand."""

    def __init__(self, names: Callable[[Expression], str]) -> None:
        self._names = names
        self._temporaries = 0
        self.constants: dict[str, Any] = {}

    # -- values ----------------------------------------------------------------------

    def value(self, expression: Expression) -> str:
        """Python text of the value, None for NULL; safe to stand as an operand."""
        if isinstance(expression, Column | Argument | Grouped | Aggregated):
            return self._names(expression)
        if isinstance(expression, Constant):
            return self._constant(expression)
        if isinstance(expression, Case):
            text = self.value(expression.otherwise)
            for condition, value in reversed(expression.whens):
                text = f"{self.value(value)} if {self.truth(condition)} else {text}"
            return f"({text})"
        if isinstance(expression, Coalesce):
            return self._coalesce(expression.args)
        if isinstance(expression, Cast):
            return self._strict((expression.arg,), lambda args: self._cast(expression, args[0]))
        if isinstance(expression, Call):
            function = self._bound(f"f_{expression.function}", functions.FUNCTIONS[expression.function])
            return self._strict(expression.args, lambda args: f"{function}({', '.join(args)})")
        return self._operation(expression)

    def _operation(self, expression: Operation) -> str:
        op, args = expression.op, expression.args
        if op in ("and", "or"):
            return self._logical(expression)
        if op == "is_null":
            return f"({self.value(args[0])} is None)" if args[0].nullable else "False"
        if op in ("distinct", "not_distinct"):
            sign = "!=" if op == "distinct" else "=="
            return f"({self.value(args[0])} {sign} {self.value(args[1])})"
        if op == "in":
            return self._member(expression)
        if op == "not":
            return self._strict(args, lambda found: f"(not {found[0]})")
        if op in COMPARISONS:
            return self._strict(args, lambda found: f"({self._comparison(op, args, found)})")
        if op in ("like", "ilike"):
            return self._strict(args, lambda found: self._like(op, args[1], found))
        if op == "join":
            return self._strict(args, lambda found: f"({' + '.join(found)})")
        return self._strict(args, lambda found: self._arithmetic(expression, found))

    def _strict(self, args: tuple[Expression, ...], body: Callable[[list[str]], str]) -> str:
        """`body` of the arguments' names; None when one of them is."""
        nulls, names = self._operands(args)
        text = body(names)
        return f"(None if {' or '.join(nulls)} else {text})" if nulls else text

    def _operands(self, args: tuple[Expression, ...]) -> tuple[list[str], list[str]]:
        """(tests for NULL, names): a nullable argument that is no name gets one in its test."""
        nulls, names = [], []
        for arg in args:
            text = self.value(arg)
            if not arg.nullable:
                names.append(text)
                continue
            if not text.isidentifier():
                name = self._temporary()
                nulls.append(f"({name} := {text}) is None")
                names.append(name)
                continue
            nulls.append(f"{text} is None")
            names.append(text)
        return nulls, names

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def _bound(self, name: str, value: Any) -> str:
        self.constants[name] = value
        return name

    # -- leaves ----------------------------------------------------------------------

    def _constant(self, constant: Constant) -> str:
        value = constant.value
        if value is None or isinstance(value, bool):
            return str(value)
        kind = family(constant.type)
        if kind == "int":
            return str(value) if int(value) >= 0 else f"({value})"
        if kind in ("double", "float"):
            return repr(float(value)) if float(value) >= 0 else f"({float(value)!r})"
        if kind == "string":
            return ascii(value)
        return self._bound(f"k{len(self.constants)}", constant_value(constant))

    # -- logic -----------------------------------------------------------------------

    def _logical(self, expression: Operation) -> str:
        """AND, OR as values: the deciding one of TRUE and FALSE wins over NULL."""
        decides = "False" if expression.op == "and" else "True"
        other = "True" if expression.op == "and" else "False"
        if not expression.nullable:
            return f"({f' {expression.op} '.join(self.value(arg) for arg in expression.args)})"
        tests, nulls = [], []
        for arg in expression.args:
            text = self.value(arg)
            if not text.isidentifier():
                name = self._temporary()
                tests.append(f"({name} := {text}) is {decides}")
                text = name
            else:
                tests.append(f"{text} is {decides}")
            if arg.nullable:
                nulls.append(f"{text} is None")
        return f"({decides} if {' or '.join(tests)} else None if {' or '.join(nulls)} else {other})"

    def truth(self, expression: Expression) -> str:
        """Python text that is true exactly when the value is TRUE."""
        if isinstance(expression, Operation):
            op, args = expression.op, expression.args
            if op in ("and", "or"):
                return f"({f' {op} '.join(self.truth(arg) for arg in args)})"
            if op == "not":
                return self.falsity(args[0])
            if op in COMPARISONS:
                return self._compared(op, args)
            if op == "in":
                nulls, names = self._operands(args[:1])
                return f"({' and '.join([*_inverted(nulls), self._plain_member(expression, names[0])])})"
        return self.value(expression)

    def falsity(self, expression: Expression) -> str:
        """Python text that is true exactly when the value is FALSE."""
        if isinstance(expression, Operation):
            op, args = expression.op, expression.args
            if op in ("and", "or"):
                other = "or" if op == "and" else "and"
                return f"({f' {other} '.join(self.falsity(arg) for arg in args)})"
            if op == "not":
                return self.truth(args[0])
            if op in COMPARISONS:
                return self._compared(_OPPOSITES[op], args)
        if not expression.nullable:
            return f"(not {self.value(expression)})"
        return f"({self.value(expression)} is False)"

    def _compared(self, op: str, args: tuple[Expression, ...]) -> str:
        nulls, names = self._operands(args)
        return f"({' and '.join([*_inverted(nulls), self._comparison(op, args, names)])})"

    def _comparison(self, op: str, args: tuple[Expression, ...], names: list[str]) -> str:
        if any(may_be_nan(arg) for arg in args):
            return f"{self._bound(f'double_{op}', arithmetic.compare(op))}({', '.join(names)})"
        return f"{names[0]} {_SIGNS[op]} {names[1]}"

    def _coalesce(self, args: tuple[Expression, ...]) -> str:
        head, rest = args[0], args[1:]
        text = self.value(head)
        if not rest or not head.nullable:
            return text
        if text.isidentifier():
            return f"({text} if {text} is not None else {self._coalesce(rest)})"
        name = self._temporary()
        return f"({name} if ({name} := {text}) is not None else {self._coalesce(rest)})"

    # -- membership ------------------------------------------------------------------

    def _member(self, expression: Operation) -> str:
        """x IN (…): NULL when x is, or when nothing matches and the list holds a NULL."""
        needle, *items = expression.args

        def body(names: list[str]) -> str:
            found = self._plain_member(expression, names[0])
            if any(isinstance(item, Constant) and item.value is None for item in items):
                return f"(True if {found} else None)"
            return found

        return self._strict((needle,), body)

    def _plain_member(self, expression: Operation, needle: str) -> str:
        """Whether `needle` is among the values that are not NULL."""
        items = expression.args[1:]
        if len(items) == 1 and isinstance(items[0], Argument):
            return f"({needle} in {self.value(items[0])})"
        values = [item for item in items if not (isinstance(item, Constant) and item.value is None)]
        if all(isinstance(item, Constant) for item in values):
            members = frozenset(constant_value(item) for item in values if isinstance(item, Constant))
            return f"({needle} in {self._bound(f'k{len(self.constants)}', members)})"
        tests = []
        for item in values:
            nulls, names = self._operands((item,))
            tests.append(f"({' and '.join([*_inverted(nulls), f'{needle} == {names[0]}'])})")
        return f"({' or '.join(tests) or 'False'})"

    # -- text and numbers ------------------------------------------------------------

    def _like(self, op: str, pattern: Expression, names: list[str]) -> str:
        if isinstance(pattern, Constant) and isinstance(pattern.value, str):
            matcher = functions.like_matcher(pattern.value, fold=op == "ilike")
            return f"{self._bound(f'k{len(self.constants)}', matcher)}({names[0]})"
        return f"{self._bound(op, getattr(functions, op))}({', '.join(names)})"

    def _arithmetic(self, expression: Operation, names: list[str]) -> str:
        op, kind = expression.op, family(expression.type)
        if kind == "int":
            return self._integer_arithmetic(op, expression.type, names)
        if kind == "decimal":
            return self._decimal_arithmetic(op, expression.type, names)
        if op == "neg":
            return f"(-{names[0]})"
        if op == "div":
            divisor = expression.args[1]
            if isinstance(divisor, Constant) and divisor.value:
                return f"({names[0]} / {names[1]})"
            return f"{self._bound('ratio', arithmetic.ratio)}({', '.join(names)})"
        if op == "mod":
            return f"{self._bound('double_remainder', arithmetic.double_remainder)}({', '.join(names)})"
        return f"({names[0]} {_INTEGER_SIGNS[op]} {names[1]})"

    def _integer_arithmetic(self, op: str, kind: str, names: list[str]) -> str:
        if op in ("intdiv", "mod"):
            name = "integer_quotient" if op == "intdiv" else "integer_remainder"
            text = f"{self._bound(name, getattr(arithmetic, name))}({', '.join(names)})"
        elif op == "neg":
            text = f"-{names[0]}"
        else:
            text = f"{names[0]} {_INTEGER_SIGNS[op]} {names[1]}"
        low, high = INTEGERS[kind]
        name, refuse = self._temporary(), self._bound("out_of_range", arithmetic.out_of_range)
        return f"({name} if {low} <= ({name} := {text}) <= {high} else {refuse}({kind!r}))"

    def _decimal_arithmetic(self, op: str, kind: str, names: list[str]) -> str:
        fit = self._bound("fit_decimal", arithmetic.fit_decimal)
        if op == "neg":
            return f"{fit}({names[0]}.copy_negate(), {kind!r})"
        if op == "mod":
            text = f"{self._bound('decimal_remainder', arithmetic.decimal_remainder)}({', '.join(names)})"
        else:
            name = {"add": "add", "sub": "subtract", "mul": "multiply"}[op]
            exact = self._bound(f"exact_{name}", getattr(arithmetic.EXACT, name))
            text = f"{exact}({', '.join(names)})"
        return f"{fit}({text}, {kind!r})"

    def _cast(self, expression: Cast, name: str) -> str:
        source, target = expression.arg.type, expression.type
        if family(target) == "double" and family(source) in ("int", "decimal"):
            return f"float({name})"
        if family(source) == "float" and family(target) == "double":
            return name
        if family(source) == family(target) == "int" and _holds(target, source):
            return name
        convert = casts.cast(source, target)
        assert convert is not None, "the front refuses what cannot be cast"
        return f"{self._bound(f'to_{_label(source)}_{_label(target)}', convert)}({name})"


def may_be_nan(expression: Expression) -> bool:
    """Whether a DOUBLE can be NaN: what is stored never is, what is calculated may be."""
    if family(expression.type) != "double":
        return False
    if isinstance(expression, Case | Coalesce):
        return any(may_be_nan(part) for part in children(expression))
    return isinstance(expression, Operation | Call | Aggregated | Grouped)


def _inverted(nulls: list[str]) -> list[str]:
    """Tests for NULL → tests for the opposite."""
    return [null.removesuffix("is None") + "is not None" for null in nulls]


def _holds(wide: str, narrow: str) -> bool:
    low, high = INTEGERS[wide]
    return low <= INTEGERS[narrow][0] and INTEGERS[narrow][1] <= high


def _label(kind: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in kind.lower()).strip("_")


def constant_value(constant: Constant) -> Any:
    """The Python value that stands for a constant at run time."""
    value, kind = constant.value, family(constant.type)
    if value is None or kind in ("int", "bool", "string", "double", "float"):
        return float(value) if kind in ("double", "float") and value is not None else value
    if kind == "decimal":
        return Decimal(str(value))
    if kind == "date":
        return datetime.date.fromisoformat(str(value))
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
        microseconds=parse_timestamp(str(value))
    )
    return moment if constant.type != "TIMESTAMP" else moment.replace(tzinfo=None)
