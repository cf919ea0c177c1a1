"""A query's expressions as a person would write them.

Rule: for reading only; what is run is the generated code.
"""

from engine.queries.expression import (
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
)
from engine.queries.query import Query

_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "intdiv": "//", "mod": "%", "join": "||",
    "eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and": "AND", "or": "OR",
    "like": "LIKE", "ilike": "ILIKE", "distinct": "IS DISTINCT FROM", "not_distinct": "IS NOT DISTINCT FROM",
}  # fmt: skip


def worded(value: Expression, query: Query) -> str:
    """One line of SQL, or nearly."""
    if isinstance(value, Column):
        return value.name if not query.lookups else f"{query.sources[value.source]}.{value.name}"
    if isinstance(value, Argument):
        return f":{value.name}"
    if isinstance(value, Constant):
        return _constant(value)
    if isinstance(value, Operation):
        return _operation(value, query)
    if isinstance(value, Cast):
        return worded(value.arg, query)  # most were written by nobody
    if isinstance(value, Case):
        whens = " ".join(f"WHEN {worded(test, query)} THEN {worded(then, query)}" for test, then in value.whens)
        return f"CASE {whens} ELSE {worded(value.otherwise, query)} END"
    if isinstance(value, Call | Coalesce):
        name = value.function if isinstance(value, Call) else "coalesce"
        return f"{name}({', '.join(worded(arg, query) for arg in value.args)})"
    assert isinstance(value, Grouped | Aggregated)
    return f"group {value.index + 1}" if isinstance(value, Grouped) else f"aggregate {value.index + 1}"


def _constant(value: Constant) -> str:
    if value.value is None:
        return "NULL"
    if isinstance(value.value, bool):
        return str(value.value).upper()
    return "'" + value.value.replace("'", "''") + "'" if isinstance(value.value, str) else str(value.value)


def _operation(value: Operation, query: Query) -> str:
    args = [worded(arg, query) for arg in value.args]
    if value.op == "not":
        return f"NOT {args[0]}"
    if value.op == "neg":
        return f"-{args[0]}"
    if value.op == "is_null":
        return f"{args[0]} IS NULL"
    if value.op == "in":
        return f"{args[0]} IN ({', '.join(args[1:])})"
    text = f" {_SIGNS[value.op]} ".join(args)
    return f"({text})" if value.op == "or" else text
