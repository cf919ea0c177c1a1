"""Why WHERE opens no way to the rows: what stands between its conditions and the keys there are.

Rule: words only. It reads the syntax of a WHERE that was found sound and that
`engine.queries.access` found no way for; the first hindrance is told, and what to write instead.
"""

from collections.abc import Iterator

from sqlglot import exp

from engine.plan import PlanError
from engine.queries.access import conjuncts
from engine.queries.advice import cheaper_index, setting
from engine.queries.expression import Cast, Operation, columns
from engine.queries.query import Query
from engine.sql.scope import Source
from engine.sql.statement import Statement
from havok.manifest import Manifest

SHOWN_CHARS_MAX = 60  # of a fragment of the SQL within a sentence
_BOUNDING = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between)
_FREE: dict[type[exp.Expr], str] = {
    exp.Not: "NOT",
    exp.NEQ: "<>",
    exp.Is: "IS",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}


def no_way(statement: Statement, query: Query, source: Source) -> PlanError:
    """The error to raise for a query that would read every row of its first table."""
    manifest = source.manifest
    key = ", ".join(column.name for column in manifest.key)
    indexes = "; ".join(
        f"{index.name}: {', '.join(column.name for column in index.columns)}" for index in manifest.indexes
    )
    reason = (
        f"every row of {manifest.dataset} would be read: WHERE fixes neither the beginning of its key ({key}) "
        f"nor of an index{f' ({indexes})' if indexes else ''}"
    )
    found = next(_hindrances(statement.select.args.get("where"), query, source), None)
    advice = cheaper_index(query)
    ways = [found[1]] if found is not None else []
    if advice is not None:
        ways.append(f"an index would help: {setting(advice, manifest)}, then: havok load {manifest.dataset}")
    if not ways:
        ways = [f"begin with {manifest.key[0].name} = :{manifest.key[0].name} AND …"]
    reason += f"; {'; or '.join(ways)}. Or, to read whole columns in a process aside: analytical = true"
    return PlanError(reason) if found is None else statement.refuse(found[0], reason)


def _hindrances(where: exp.Expr | None, query: Query, source: Source) -> Iterator[tuple[exp.Expr, str]]:
    """(condition, what keeps a key or an index from being used for it), of the key first."""
    conditions = list(_conjuncts(where.this)) if where is not None else []
    for name, what in _beginnings(source.manifest):
        for condition in conditions:
            if any(_is(column, name, source) for column in condition.find_all(exp.Column)):
                yield condition, _why(condition, name, what, query, source)


def _beginnings(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(column, what begins with it)."""
    yield manifest.key[0].name, "the key"
    for index in manifest.indexes:
        yield index.columns[0].name, f"index {index.name}"


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    else:
        yield node


def _is(node: exp.Expr, name: str, source: Source) -> bool:
    """Whether the node is that column of the first table and nothing more."""
    return (
        isinstance(node, exp.Column)
        and node.name.casefold() == name.casefold()
        and node.table.casefold() in ("", source.alias.casefold())
    )


def _why(condition: exp.Expr, name: str, what: str, query: Query, source: Source) -> str:
    if isinstance(condition, exp.Or):
        return _of_or(condition, name, what, source)
    if condition.args.get("negate"):
        return _free("NOT", name, what)
    if isinstance(condition, exp.ILike):
        return f"ILIKE is no way into {what}: load lower({name}) as a column of its own, index it and compare that"
    if isinstance(condition, exp.Like) and _is(condition.this.unnest(), name, source):
        return f"LIKE is no way into {what}: for texts that begin alike write {name} >= :first AND {name} < :after"
    if type(condition) in _FREE:
        return _free(_FREE[type(condition)], name, what)
    if not isinstance(condition, _BOUNDING):
        return _hidden(condition, name, what)
    sides = [condition.this, condition.args.get("expression")]
    for side in (side.unnest() for side in sides if side is not None):
        if any(_is(column, name, source) for column in side.find_all(exp.Column)) and not _is(side, name, source):
            return _hidden(side, name, what)
    if any(not _is(column, name, source) for column in condition.find_all(exp.Column)):
        return f"{name} is compared with another column: {what} needs a value, as {name} = :{name}"
    return _of_type(name, what, query)


def _free(operator: str, name: str, what: str) -> str:
    return f"{operator} is no way into {what}: say by =, IN or a range which {name} is wanted"


def _hidden(node: exp.Expr, name: str, what: str) -> str:
    shown = _shown(node)
    return (
        f"{shown} hides {name} from {what}: compare {name} itself, or load {shown} as a column of its own and index it"
    )


def _of_or(condition: exp.Expr, name: str, what: str, source: Source) -> str:
    values: list[str] = []
    for side in (side.unnest() for side in condition.flatten()):
        if not isinstance(side, exp.EQ):
            break
        left, right = side.this.unnest(), side.expression.unnest()
        column, value = (left, right) if _is(left, name, source) else (right, left)
        if not _is(column, name, source) or value.find(exp.Column) is not None:
            break
        values.append(_shown(value))
    else:
        return f"write {name} IN ({', '.join(values)}) instead of OR"
    return f"OR is no way into {what}: make a service of each side, or AND a condition on {name} with it"


def _of_type(name: str, what: str, query: Query) -> str:
    """A plain comparison that is no way in: it compares values of another type than the column's."""
    for part in conjuncts(query.where):
        for side in part.args if isinstance(part, Operation) else ():
            if isinstance(side, Cast) and {column.name for column in columns(side)} == {name}:
                kind = next(column.type for column in columns(side))
                return (
                    f"{name} is {kind} and compared as {side.type}, which is no way into {what}: "
                    f"give it a {kind}, by CAST(… AS {kind}) or the parameter's type"
                )
    return f"the values {name} is compared with are not those {what} holds, or too many"


def _shown(node: exp.Expr) -> str:
    text = node.sql(dialect="duckdb", normalize_functions="lower").replace("$", ":")
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[: SHOWN_CHARS_MAX - 1]}…"
