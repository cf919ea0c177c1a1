"""Syntax → typed expressions: names settled, types as DuckDB has them.

Rule: one entry for every kind of node that the language has; all else is refused by name.
"""

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from sqlglot import exp

from engine.analysis.duck_functions import FUNCTIONS
from engine.queries.expression import Call, Case, Coalesce, Constant, Expression, Operation
from engine.sql import calls
from engine.sql.aggregates import AGGREGATES, Aggregates
from engine.sql.conditions import COMPARISONS
from engine.sql.statement import ELSEWHERE, quoted_parameter, without_quotes
from engine.sql.values import ARITHMETIC
from engine.sqltype import INTEGERS, WIDTH_MAX, decimal
from havok.keys import WIDE_MAX

_INTEGER = re.compile(r"[0-9]+")
_CALLED = re.compile(r"([A-Za-z_]\w*)\(")
_FIXED = re.compile(r"(?=\.?[0-9])([0-9]*)\.([0-9]*)")
TRUE, FALSE = Constant(True, "BOOLEAN"), Constant(False, "BOOLEAN")


class Resolver(Aggregates):
    def expression(self, node: exp.Expression) -> Expression:
        kind = type(node)
        if kind in COMPARISONS:
            return self._comparison(node, COMPARISONS[kind])
        if kind in ARITHMETIC:
            return self._arithmetic(node, ARITHMETIC[kind])
        if kind in AGGREGATES or isinstance(node, exp.Filter):
            return self._aggregate(node)
        method = _METHODS.get(kind)
        if method is not None:
            return method(self, node)
        call = calls.find(node)
        if call is not None:
            return self._call(node, call)
        raise self.refuse(node, f"{_named(node)} is not supported{_instead(node)}")

    def _paren(self, node: exp.Paren) -> Expression:
        return self.expression(node.this)

    def _column(self, node: exp.Column) -> Expression:
        if node.args.get("db") is not None:
            raise self.refuse(
                node, f"fields of structs cannot be taken out here; load them as columns of their own; {ELSEWHERE}"
            )
        if isinstance(node.this, exp.Star):
            raise self.refuse(node, "* can only stand alone in the SELECT list")
        return self._scope.column(node)

    def _placeholder(self, node: exp.Placeholder) -> Expression:
        return self._scope.argument(node)

    def _literal(self, node: exp.Literal) -> Expression:
        text = str(node.this)
        if node.is_string:
            if name := quoted_parameter(text):
                raise self.refuse(node, without_quotes(name, text))
            return Constant(text, "VARCHAR")
        if _INTEGER.fullmatch(text):
            whole = int(text)
            if whole > WIDE_MAX:
                raise self.refuse(node, f"{text[:40]} has more than 128 bits")
            return Constant(
                whole, next(kind for kind in ("INTEGER", "BIGINT", "HUGEINT") if whole <= INTEGERS[kind][1])
            )
        if found := _FIXED.fullmatch(text):
            width, scale = len(found[1] + found[2]), len(found[2])
            if width <= WIDTH_MAX:
                return Constant(f"{found[1] or 0}.{found[2]}".rstrip("."), decimal(width, scale))
        try:
            value = float(text)
        except ValueError:
            raise self.refuse(node, f"{text[:40]} is no number") from None
        if math.isinf(value):
            raise self.refuse(node, f"{text[:40]} is more than a DOUBLE holds")
        return Constant(value, "DOUBLE")

    def _boolean_literal(self, node: exp.Boolean) -> Expression:
        return TRUE if node.this else FALSE

    def _null(self, _: exp.Null) -> Expression:
        return Constant(None, "NULL")

    def _call(self, node: exp.Expression, call: calls.Signature) -> Expression:
        args = [self._argument_of_call(node, part, kinds) for part, kinds in zip(call.args, call.kinds, strict=False)]
        name, kind, wanted = call.choose([arg.type for arg in args])
        if name is None:
            shown = ", ".join(arg.type for arg in args)
            raise self.refuse(node, f"{_named(node)} does not take ({shown}); {call.advice}{self.by_setting(*args)}")
        made = tuple(self.cast(node, arg, want) if want else arg for arg, want in zip(args, wanted, strict=True))
        if name == "identity":
            return Coalesce((self.cast(node, made[0], kind),), kind, made[0].nullable)
        if name == "abs" and kind in INTEGERS:
            negative = self.compared("lt", made[0], Constant(0, kind))
            turned = Operation("neg", made[:1], kind, made[0].nullable)
            return Case(((negative, turned),), made[0], kind, made[0].nullable)
        constants = tuple(Constant(value, "VARCHAR") for value in call.constants)
        return Call(name, (*constants, *made), kind, any(arg.nullable for arg in made))

    def _argument_of_call(self, node: exp.Expression, part: exp.Expression, kind: str) -> Expression:
        if isinstance(part, exp.Placeholder):
            return self._scope.argument(part, kind)
        found = self.expression(part)
        return self.read_as(node, found, kind)


_METHODS: dict[type[exp.Expression], Callable[[Resolver, Any], Expression]] = {
    exp.Paren: Resolver._paren,
    exp.Column: Resolver._column,
    exp.Placeholder: Resolver._placeholder,
    exp.Literal: Resolver._literal,
    exp.Boolean: Resolver._boolean_literal,
    exp.Null: Resolver._null,
    exp.And: Resolver._logical,
    exp.Or: Resolver._logical,
    exp.Not: Resolver._not,
    exp.Between: Resolver._between,
    exp.In: Resolver._in,
    exp.Is: Resolver._is,
    exp.Like: Resolver._like,
    exp.ILike: Resolver._like,
    exp.Neg: Resolver._negative,
    exp.DPipe: Resolver._join,
    exp.Concat: Resolver._concat,
    exp.Case: Resolver._case,
    exp.If: Resolver._if,
    exp.Coalesce: Resolver._coalesce,
    exp.Nullif: Resolver._nullif,
    exp.Greatest: Resolver._extreme,
    exp.Least: Resolver._extreme,
    exp.Cast: Resolver._cast,
    exp.TryCast: Resolver._cast,
}


def _instead(node: exp.Expression) -> str:
    """What to write for what is not in the language."""
    if _named(node) in ("now()", "today()") or isinstance(node, exp.CurrentTimestamp | exp.CurrentDate):
        return "; a caller says which time it is: make it a parameter"
    if isinstance(node, exp.Bracket | exp.Array):
        reason = ": items and fields cannot be taken out here, nor lists compared; load what is sought as a column"
        return f"{reason}; {ELSEWHERE}"
    if isinstance(node, exp.Struct):
        return "; a parameter is written as :name"
    name = _named(node).removesuffix("()")
    if isinstance(node, exp.Subquery | exp.Select | exp.Window | exp.Exists | exp.Interval) or name in FUNCTIONS:
        return f"; {ELSEWHERE}"
    close = get_close_matches(name, FUNCTIONS, n=1, cutoff=0.8)
    return f"; did you mean {close[0]}()?" if close else ""


def _named(node: exp.Expression) -> str:
    if isinstance(node, exp.Anonymous):
        return f"{node.name}()"
    if isinstance(node, exp.Func) and (called := _CALLED.match(node.sql(dialect="duckdb"))):
        return f"{called[1].lower()}()"
    return {"Subquery": "a query inside the query", "Select": "a query inside the query", "Window": "OVER (…)",
            "Interval": "INTERVAL", "Bracket": "[…]", "JSONExtract": "->",
            "JSONExtractScalar": "->>"}.get(type(node).__name__, type(node).__name__.upper())  # fmt: skip
