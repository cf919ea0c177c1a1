"""From the text of a service's SQL to a query with a way to its rows.

Rule: everything that could fail at request time for the query's sake is refused here, with
the part of the text it is about and, where there is one, the way out.
"""

from collections.abc import Callable, Mapping

import msgspec
from sqlglot import exp

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
)
from engine.queries.expression import Call as FunctionCall
from engine.queries.query import Lookup, Order, Output, Query, Seek
from engine.sql.aggregates import AGGREGATES
from engine.sql.hindrance import no_way
from engine.sql.joins import Joins
from engine.sql.parameters import no_column, no_count
from engine.sql.resolver import Resolver
from engine.sql.scope import Scope, find_sources
from engine.sql.statement import Statement
from engine.sqltype import INTEGERS, family
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
        self._joins = Joins(statement, scope, self._resolver)
        self._args = statement.select.args

    def compile(self) -> Found:
        lookups = self._joins.lookups()
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
            nodes = zip(outputs, self._output_nodes, strict=True)
            outputs = [Output(item.name, self._grouped(item.value, groups, node)) for item, node in nodes]
            order = [
                msgspec.structs.replace(item, value=self._grouped(item.value, groups, self._args["order"]))
                for item in order
            ]
            having = None if having is None else self._grouped(having, groups, self._args["having"])
        elif having is not None:
            raise self._statement.refuse(self._args["having"], "HAVING needs GROUP BY or an aggregate; use WHERE")
        query = self._placed(where, lookups, tuple(outputs), groups, tuple(order), having, aggregates)
        return Found(query, dict(self._scope.params))

    # -- FROM, JOIN, WHERE -------------------------------------------------------------

    def _where(self) -> Expression | None:
        node = self._args.get("where")
        parts = access.conjuncts(self._resolver.condition(node.this)) if node is not None else []
        return _all([*parts, *self._joins.conditions])

    def _clause(self, name: str) -> Expression | None:
        node = self._args.get(name)
        return None if node is None else self._resolver.boolean_with_aggregates(node.this)

    # -- SELECT ------------------------------------------------------------------------

    def _outputs(self) -> list[Output]:
        found: list[Output] = []
        nodes: list[exp.Expression] = []
        for node in self._statement.select.expressions:
            if isinstance(node, exp.Star):
                if any(node.args.get(part) for part in ("except_", "replace", "rename", "except")):
                    raise self._statement.refuse(node, "name the columns instead of * EXCEPT, REPLACE or RENAME")
                found += [Output(column.name, column) for column in self._scope.every_column()]
                nodes += [node] * (len(found) - len(nodes))
                continue
            value = self._resolver.with_aggregates(node.unalias())
            found.append(Output(self._label(node, value), value))
            nodes.append(node)
        self._check_names([item.name for item in found], nodes)
        self._output_nodes = nodes
        return found

    def _check_names(self, names: list[str], nodes: list[exp.Expression]) -> None:
        for number, name in enumerate(names):
            if name in names[:number]:
                reason = f"two columns of the answer are named {name}; "
                if isinstance(nodes[number], exp.Star):
                    reason += f"write the columns out instead of *, with AS for those named alike: … AS {name}_2"
                else:
                    reason += f"give one another name: … AS {name}_2"
                raise self._statement.refuse(nodes[number], reason)

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
            if isinstance(item.this.unnest(), exp.Placeholder):
                raise self._statement.refuse(item.this, no_column(item.this.unnest().name))
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

    def _grouped(self, value: Expression, groups: tuple[Expression, ...], node: exp.Expression) -> Expression:
        """Over groups: what is grouped by stands for itself, nothing else of a row is left."""
        if value in groups:
            index = groups.index(value)
            return Grouped(index, value.type, value.nullable)
        if isinstance(value, Column):
            column = next((part for part in node.find_all(exp.Column) if _is_named(part, value.name)), node)
            reason = (
                f"{value.name} is neither grouped by nor in an aggregate; add it to GROUP BY, or take MIN({value.name})"
            )
            raise self._statement.refuse(column, reason)
        return _rebuilt(value, lambda part: self._grouped(part, groups, node))

    # -- LIMIT, and the way to the rows ------------------------------------------------

    def _count(self, name: str) -> Expression | None:
        node = self._args.get(name)
        if node is None:
            return None
        inner = node.expression
        if isinstance(inner, exp.Placeholder):
            count = self._scope.argument(inner, "BIGINT")
            if family(count.type) != "int":
                raise self._statement.refuse(inner, no_count(name.upper(), count.name))
            return count
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


def _is_named(column: exp.Column, name: str) -> bool:
    return column.name.casefold() == name.casefold() and column.find_ancestor(*AGGREGATES) is None


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
