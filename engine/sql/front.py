"""From the text of a service's SQL to a query with a way to its rows.

Rule: everything that could fail at request time for the query's sake is refused here, with
the part of the text it is about and, where there is one, the way out.
"""

from collections.abc import Callable, Mapping

import msgspec
from sqlglot import exp

from engine.plan import PlanError
from engine.queries import access
from engine.queries.expression import (
    Aggregated,
    Case,
    Cast,
    Coalesce,
    Column,
    Constant,
    Expression,
    Grouped,
    Operation,
    children,
    columns,
)
from engine.queries.expression import Call as FunctionCall
from engine.queries.query import Lookup, Order, Output, Query, Seek
from engine.sql.hindrance import no_way
from engine.sql.resolver import Resolver
from engine.sql.scope import Scope, find_sources
from engine.sql.statement import Statement
from engine.sqltype import INTEGERS, family
from havok.keys import KeyKind
from havok.manifest import Manifest
from havok.settings import ParamSettings


class Found(msgspec.Struct, frozen=True):
    """A query, and its parameters (name → type) in the order they were met."""

    query: Query
    params: dict[str, str]


def compile_sql(sql: str, manifests: Mapping[str, Manifest], params: Mapping[str, ParamSettings]) -> Found:
    """`manifests`: of every dataset that may be named. Raises PlanError."""
    statement = Statement(sql)
    statement.check_clauses()
    scope = Scope(statement, find_sources(statement, manifests), params)
    return _Select(statement, scope).compile()


class _Select:
    def __init__(self, statement: Statement, scope: Scope) -> None:
        self._statement = statement
        self._scope = scope
        self._resolver = Resolver(statement, scope)
        self._args = statement.select.args

    def compile(self) -> Found:
        lookups = self._lookups()
        where = self._where()
        outputs = self._outputs()
        groups = self._groups(outputs)
        having = self._clause("having")
        order = self._order(outputs)
        aggregates = tuple(self._resolver.aggregates)
        if self._args.get("distinct"):
            outputs, groups, order = self._distinct(outputs, groups, order, aggregates)
        if groups is not None or aggregates:
            groups = groups or ()
            self._check_groups(groups)
            outputs = [Output(item.name, self._grouped(item.value, groups)) for item in outputs]
            order = [msgspec.structs.replace(item, value=self._grouped(item.value, groups)) for item in order]
            having = None if having is None else self._grouped(having, groups)
        elif having is not None:
            raise self._statement.refuse(self._args["having"], "HAVING needs GROUP BY or an aggregate; use WHERE")
        query = self._placed(where, lookups, tuple(outputs), groups, tuple(order), having, aggregates)
        return Found(query, dict(self._scope.params))

    # -- FROM, JOIN, WHERE -------------------------------------------------------------

    def _lookups(self) -> tuple[Lookup, ...]:
        found: list[Lookup] = []
        self._extra: list[Expression] = []
        for number, join in enumerate(self._args.get("joins") or [], 1):
            found.append(self._lookup(number, join))
        return tuple(found)

    def _lookup(self, number: int, join: exp.Join) -> Lookup:
        manifest = self._scope.sources[number].manifest
        side, kind = str(join.args.get("side") or "").upper(), str(join.args.get("kind") or "").upper()
        key = ", ".join(column.name for column in manifest.key)
        written = " AND ".join(f"{self._scope.sources[number].alias}.{column.name} = …" for column in manifest.key)
        if side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER", "CROSS") or join.args.get("using"):
            named = "USING" if join.args.get("using") else f"{side} {kind}".strip() + " JOIN"
            reason = f"{named} is not supported; write JOIN or LEFT JOIN {manifest.dataset} … ON {written}"
            raise self._statement.refuse(join, reason)
        on = join.args.get("on")
        if on is None:
            reason = (
                f"every row of {manifest.dataset} would be read for each row before it; "
                f"join it by its key ({key}): JOIN {manifest.dataset} … ON {written}"
            )
            raise self._statement.refuse(join, reason)
        parts = access.conjuncts(self._resolver.condition(on))
        values: dict[str, Expression] = {}
        for part in parts:
            name, value = _key_part(part, number, {column.name: column.kind for column in manifest.key})
            if name is not None and value is not None and name not in values:
                values[name] = value
            elif side == "LEFT":
                raise self._statement.refuse(
                    join, f"a LEFT JOIN takes {manifest.dataset}'s key ({key}) and nothing else"
                )
            else:
                self._extra.append(part)
        missing = [column.name for column in manifest.key if column.name not in values]
        if missing:
            reason = (
                f"{manifest.dataset} is joined by its whole key ({key}), one row at a time; ON does not give "
                f"{', '.join(missing)}. Of a dataset that FROM begins with, many rows are read"
            )
            raise self._statement.refuse(join, reason)
        return Lookup(
            manifest.dataset, tuple(values[column.name] for column in manifest.key), manifest.key, outer=side == "LEFT"
        )

    def _where(self) -> Expression | None:
        node = self._args.get("where")
        parts = [*self._extra]
        if node is not None:
            parts = [*access.conjuncts(self._resolver.condition(node.this)), *parts]
        return _all(parts)

    def _clause(self, name: str) -> Expression | None:
        node = self._args.get(name)
        return None if node is None else self._resolver.boolean_with_aggregates(node.this)

    # -- SELECT ------------------------------------------------------------------------

    def _outputs(self) -> list[Output]:
        found: list[Output] = []
        for node in self._statement.select.expressions:
            if isinstance(node, exp.Star):
                if any(node.args.get(part) for part in ("except_", "replace", "rename", "except")):
                    raise self._statement.refuse(node, "name the columns instead of * EXCEPT, REPLACE or RENAME")
                found += [Output(column.name, column) for column in self._scope.every_column()]
                continue
            value = self._resolver.with_aggregates(node.unalias())
            found.append(Output(self._label(node, value), value))
        names = [item.name for item in found]
        for name in names:
            if names.count(name) > 1:
                raise PlanError(f"two columns of the answer are named {name}; give one another name: … AS {name}_2")
        return found

    def _label(self, node: exp.Expression, value: Expression) -> str:
        if isinstance(node, exp.Alias):
            return str(node.alias)
        if isinstance(value, Column):
            return value.name
        raise self._statement.refuse(node, "give this column of the answer a name: … AS name")

    def _distinct(
        self,
        outputs: list[Output],
        groups: tuple[Expression, ...] | None,
        order: list[Order],
        aggregates: tuple[object, ...],
    ) -> tuple[list[Output], tuple[Expression, ...] | None, list[Order]]:
        """DISTINCT is grouping by all that is answered."""
        node = self._args["distinct"]
        if node.args.get("on") is not None:
            raise self._statement.refuse(node, "DISTINCT ON is not supported")
        if groups is not None or aggregates:
            raise self._statement.refuse(
                self._statement.select, "DISTINCT beside GROUP BY or an aggregate is not supported"
            )
        return outputs, tuple(item.value for item in outputs), order

    # -- GROUP BY, ORDER BY ------------------------------------------------------------

    def _groups(self, outputs: list[Output]) -> tuple[Expression, ...] | None:
        node = self._args.get("group")
        if node is None:
            return None
        if any(node.args.get(part) for part in ("grouping_sets", "cube", "rollup", "totals")):
            raise self._statement.refuse(node, "GROUP BY takes expressions only")
        if node.args.get("all"):
            return tuple(item.value for item in outputs if not _aggregated(item.value))
        return tuple(self._named(item, outputs) for item in node.expressions)

    def _check_groups(self, groups: tuple[Expression, ...]) -> None:
        for value in groups:
            if family(value.type) == "opaque":
                node = self._args.get("group") or self._args["distinct"]
                raise self._statement.refuse(node, f"{value.type} values cannot be compared, so not be grouped by")

    def _named(self, node: exp.Expression, outputs: list[Output]) -> Expression:
        """An expression, or a column of the answer by its number or name."""
        if isinstance(node, exp.Literal) and not node.is_string:
            number = int(str(node.this)) if str(node.this).isdigit() else 0
            if not 1 <= number <= len(outputs):
                raise self._statement.refuse(
                    node, f"there is no column {node.this} in the answer; it has {len(outputs)}"
                )
            return outputs[number - 1].value
        if isinstance(node, exp.Column) and not node.table:
            known = {item.name.casefold(): item.value for item in outputs}
            own = any(
                column.name.casefold() == node.name.casefold()
                for source in self._scope.sources
                for column in source.manifest.columns
            )
            if not own and node.name.casefold() in known:
                return known[node.name.casefold()]
        return self._resolver.with_aggregates(node)

    def _order(self, outputs: list[Output]) -> list[Order]:
        node = self._args.get("order")
        found: list[Order] = []
        for item in node.expressions if node is not None else ():
            value = self._ordered(item.this, outputs)
            if family(value.type) in ("opaque", "null"):
                raise self._statement.refuse(item, f"{value.type} values have no order; order by a column that has one")
            nulls = item.args.get("nulls_first")
            found.append(Order(value, bool(item.args.get("desc")), bool(nulls)))
        return found

    def _ordered(self, node: exp.Expression, outputs: list[Output]) -> Expression:
        """ORDER BY prefers the answer's names to the tables'."""
        if isinstance(node, exp.Column) and not node.table:
            for item in outputs:
                if item.name.casefold() == node.name.casefold():
                    return item.value
        return self._named(node, outputs)

    def _grouped(self, value: Expression, groups: tuple[Expression, ...]) -> Expression:
        """Over groups: what is grouped by stands for itself, nothing else of a row is left."""
        if value in groups:
            index = groups.index(value)
            return Grouped(index, value.type, value.nullable)
        if isinstance(value, Column):
            raise PlanError(
                f"{value.name} is neither grouped by nor in an aggregate; add it to GROUP BY, or take MIN({value.name})"
            )
        return _rebuilt(value, lambda part: self._grouped(part, groups))

    # -- LIMIT, and the way to the rows ------------------------------------------------

    def _count(self, name: str) -> Expression | None:
        node = self._args.get(name)
        if node is None:
            return None
        inner = node.expression
        if isinstance(inner, exp.Placeholder):
            return self._scope.argument(inner, "BIGINT")
        value = self._resolver.expression(inner)
        if isinstance(value, Constant) and value.type in INTEGERS and int(value.value or 0) >= 0:
            return value
        raise self._statement.refuse(node, f"{name.upper()} takes a whole number or a parameter")

    def _placed(
        self,
        where: Expression | None,
        lookups: tuple[Lookup, ...],
        outputs: tuple[Output, ...],
        groups: tuple[Expression, ...] | None,
        order: tuple[Order, ...],
        having: Expression | None,
        aggregates: tuple[object, ...],
    ) -> Query:
        manifest = self._scope.sources[0].manifest
        found = access.ways(manifest, where)
        limit = self._count("limit")
        best = found[0] if found else access.Way(Seek(manifest.dataset, None, manifest.key, ()), ())
        if groups is None and not aggregates and limit is not None:
            best = access.best_in_order(found, order) or best
        is_plain = groups is None and not aggregates
        seek = access.in_order(best.seek, order) if is_plain else None
        rest = [part for part in access.conjuncts(where) if part not in best.used]
        query = Query(
            sql=self._statement.sql,
            seek=seek or best.seek,
            outputs=outputs,
            lookups=lookups,
            where=_all(rest),
            groups=groups,
            aggregates=tuple(self._resolver.aggregates),
            having=having,
            order=order,
            sorted=seek is not None,
            limit=limit,
            offset=self._count("offset"),
        )
        if not found:
            raise no_way(self._statement, query, self._scope.sources[0])
        return query


def _all(parts: list[Expression]) -> Expression | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return Operation("and", tuple(parts), "BOOLEAN", any(part.nullable for part in parts))


def _key_part(part: Expression, number: int, kinds: Mapping[str, KeyKind]) -> tuple[str | None, Expression | None]:
    """(key column, value) of a condition that fixes a column of table `number` from tables before it."""
    if not isinstance(part, Operation) or part.op != "eq":
        return None, None
    for left, right in (part.args, part.args[::-1]):
        column = left.arg if isinstance(left, Cast) else left
        if not isinstance(column, Column) or column.source != number or column.name not in kinds:
            continue
        value = access.bare(right)
        if all(other.source < number for other in columns(value)) and access.fits(kinds[column.name], value.type):
            return column.name, value
    return None, None


def _aggregated(value: Expression) -> bool:
    return isinstance(value, Aggregated) or any(_aggregated(part) for part in children(value))


def _rebuilt(value: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The same expression of changed parts."""
    if isinstance(value, Operation | FunctionCall | Coalesce):
        return msgspec.structs.replace(value, args=tuple(change(part) for part in value.args))
    if isinstance(value, Cast):
        return Cast(change(value.arg), value.type)
    if isinstance(value, Case):
        whens = tuple((change(test), change(result)) for test, result in value.whens)
        return msgspec.structs.replace(value, whens=whens, otherwise=change(value.otherwise))
    return value
