"""One type for what meets in an expression, and the casts that bring it about.

Rule: strict where DuckDB is lenient. What DuckDB would convert silently between text and
numbers is refused with the CAST to write, so that no answer depends on how a text reads.
"""

import re
from abc import ABC, abstractmethod

from sqlglot import exp

from engine.plan import PlanError
from engine.queries import casts
from engine.queries.expression import Argument, Cast, Column, Constant, Expression
from engine.sql import parameters
from engine.sql.scope import Scope
from engine.sql.statement import Statement
from engine.sqltype import INTEGERS, common, family, is_number, width_and_scale
from havok.keys import parse_date, parse_timestamp

_OFFSET = re.compile(r"[+-][0-9:]+$")  # of a time


class Casting(ABC):
    """What every part of the resolver stands on."""

    def __init__(self, statement: Statement, scope: Scope) -> None:
        self._statement = statement
        self._scope = scope

    @abstractmethod
    def expression(self, node: exp.Expression) -> Expression:
        """The typed expression of any node. Raises PlanError."""

    def refuse(self, node: exp.Expression, reason: str) -> PlanError:
        return self._statement.refuse(node, reason)

    def united(self, node: exp.Expression, left: Expression, right: Expression) -> tuple[Expression, Expression]:
        left, right = self.read_as(node, left, right.type), self.read_as(node, right, left.type)
        self._check_quotes(node, left, right)
        self._check_quotes(node, right, left)
        if common(left.type, right.type) is None:
            raise self.clash(node, left, right)
        kind = self.common(node, left, right)
        if family(kind) == "opaque":
            raise self.refuse(node, f"{kind} values cannot be compared")
        return self.cast(node, left, kind), self.cast(node, right, kind)

    def common(self, node: exp.Expression, *parts: Expression, in_column: bool = False) -> str:
        """One type for all; an integer literal becomes the others' where it fits."""
        kind = "NULL"
        plain = [part.type for part in parts if not is_small_literal(part)]
        for part in parts:
            if is_small_literal(part) and plain:
                continue
            kind = self.joined(node, kind, part.type, in_column=in_column)
        for part in parts:
            if is_small_literal(part) and plain:
                assert isinstance(part, Constant)
                fits = kind in INTEGERS and INTEGERS[kind][0] <= int(part.value or 0) <= INTEGERS[kind][1]
                kind = kind if fits else self.joined(node, kind, part.type, in_column=in_column)
        return kind

    def clash(self, node: exp.Expression, left: Expression, right: Expression) -> PlanError:
        """What is said of two that have no type in common: of a parameter, where its type comes from."""
        for part, other in ((left, right), (right, left)):
            if isinstance(part, Argument):
                beside = other.name if isinstance(other, Column) else "what it is compared with"
                declared = self._scope.declared(part.name)
                return self.refuse(node, parameters.clash(part.name, declared, part.type, beside, other.type))
        return self.refuse(node, f"{left.type} and {right.type} do not go together; write CAST(… AS {left.type})")

    def by_setting(self, *parts: Expression) -> str:
        """Which of them are of a type that was set for a parameter, to be said behind a reason."""
        declared = {part.name: self._scope.declared(part.name) for part in parts if isinstance(part, Argument)}
        return "".join(f"; :{name} is {kind} by params.{name}.type" for name, kind in declared.items() if kind)

    def joined(self, node: exp.Expression, left: str, right: str, *, in_column: bool = False) -> str:
        kind = common(left, right, in_column=in_column)
        if kind is None:
            raise self.refuse(node, f"{left} and {right} do not go together; write CAST(… AS {left})")
        return kind

    def read_as(self, node: exp.Expression, part: Expression, kind: str) -> Expression:
        """A text literal beside a date is the date it reads as."""
        if not isinstance(part, Constant) or part.type != "VARCHAR" or family(kind) not in ("date", "moment"):
            return part
        return self.dated(node, str(part.value), kind)

    def _check_quotes(self, node: exp.Expression, part: Expression, beside: Expression) -> None:
        """Raises PlanError for a number in quotes, and a text without."""
        if not isinstance(part, Constant):
            return
        if part.type == "VARCHAR" and is_number(beside.type):
            raise self.refuse(node, f"{part.value!r} is a text, and is compared with {beside.type}: "
                                    "a number stands without quotes")  # fmt: skip
        if beside.type == "VARCHAR" and is_number(part.type):
            raise self.refuse(node, f"{part.value} is a number, and is compared with VARCHAR: "
                                    f"a text stands in quotes: '{part.value}'")  # fmt: skip

    def dated(self, node: exp.Expression, text: str, kind: str) -> Constant:
        try:
            if kind == "DATE":
                parse_date(text.strip())
            else:
                parse_timestamp(text.strip())
        except ValueError:
            example = "2013-01-31" if kind == "DATE" else "2013-01-31 05:00:00"
            raise self.refuse(node, f"{text[:40]!r} is no {kind}; write it as '{example}'") from None
        if kind == "TIMESTAMP" and _OFFSET.search(text.strip(), len("2013-01-31")):
            raise self.refuse(node, "a TIMESTAMP has no zone, and DuckDB drops this one; write the time without it")
        return Constant(text.strip(), kind)

    def cast(self, node: exp.Expression, found: Expression, target: str) -> Expression:
        """`found` as a value of `target`. Raises PlanError when there is no such cast."""
        if found.type == target:
            return found
        if found.type == "NULL":
            return Constant(None, target)
        if isinstance(found, Constant) and family(found.type) == "int" and family(target) in ("int", "double"):
            value = found.value
            assert isinstance(value, int)
            if target == "DOUBLE":
                return Constant(float(value), target)
            low, high = INTEGERS[target]
            if not low <= value <= high:
                raise self.refuse(node, f"{value} does not fit {target}")
            return Constant(value, target)
        if is_small_literal(found) and family(target) == "decimal":
            return self._decimal_literal(node, found, target)
        if isinstance(found, Constant) and target == "FLOAT" and family(found.type) in ("int", "decimal"):
            return Constant(casts.single(float(found.value or 0)), target)
        if target == "FLOAT":
            raise self.refuse(node, "FLOAT values meet only their like here; write CAST(… AS DOUBLE)")
        if casts.cast(found.type, target) is None:
            raise self.refuse(node, f"{found.type} cannot be cast to {target} here")
        return Cast(found, target)

    def _decimal_literal(self, node: exp.Expression, found: Expression, target: str) -> Constant:
        assert isinstance(found, Constant)
        width, scale = width_and_scale(target)
        if abs(int(found.value or 0)) >= 10 ** (width - scale):
            raise self.refuse(node, f"{found.value} does not fit {target}")
        return Constant(f"{found.value}.{'0' * scale}".rstrip("."), target)

    def type_of(self, node: exp.Expression) -> str:
        text = node.sql(dialect="duckdb").upper().replace(", ", ",")
        kind = {"INT": "INTEGER", "TEXT": "VARCHAR", "REAL": "FLOAT", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
                "DECIMAL": "DECIMAL(18,3)", "INT128": "HUGEINT"}.get(text, text)  # fmt: skip
        if family(kind) in ("opaque", "null", "float"):
            raise self.refuse(node, f"nothing can be cast to {text} here")
        return kind


def is_small_literal(part: Expression) -> bool:
    """Whether it is a whole number written in the SQL, which takes the type of what it meets."""
    return isinstance(part, Constant) and isinstance(part.value, int) and part.type in INTEGERS
