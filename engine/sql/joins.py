"""JOIN: rows of other datasets, each looked up by its whole key from what stands before it.

Rule: what would read more than one row of a joined dataset is refused, with the condition to write.
"""

from collections.abc import Mapping

from sqlglot import exp

from engine.queries import access
from engine.queries.expression import Cast, Column, Expression, Operation, columns
from engine.queries.query import Lookup
from engine.sql.resolver import Resolver
from engine.sql.scope import Scope, Source
from engine.sql.statement import Statement
from havok.keys import KeyKind


class Joins:
    """`conditions` are those of an ON beside the key: they filter, as WHERE does."""

    def __init__(self, statement: Statement, scope: Scope, resolver: Resolver) -> None:
        self._statement = statement
        self._scope = scope
        self._resolver = resolver
        self.conditions: list[Expression] = []

    def lookups(self) -> tuple[Lookup, ...]:
        """Raises PlanError."""
        joins = self._statement.select.args.get("joins") or []
        return tuple(self._lookup(number, join) for number, join in enumerate(joins, 1))

    def _lookup(self, number: int, join: exp.Join) -> Lookup:
        source = self._scope.sources[number]
        manifest = source.manifest
        side, on = self._side(join, source), join.args.get("on")
        if on is None:
            raise self._statement.refuse(join, self._unbound(source))
        parts = access.conjuncts(self._resolver.condition(on))
        values: dict[str, Expression] = {}
        for part in parts:
            name, value = _key_part(part, number, {column.name: column.kind for column in manifest.key})
            if name is not None and value is not None and name not in values:
                values[name] = value
            elif side == "LEFT":
                reason = f"a LEFT JOIN takes {manifest.dataset}'s key ({_key(source)}) and nothing else"
                raise self._statement.refuse(join, reason)
            else:
                self.conditions.append(part)
        missing = [column.name for column in manifest.key if column.name not in values]
        if missing:
            raise self._statement.refuse(join, self._incomplete(source, missing))
        key = tuple(values[column.name] for column in manifest.key)
        return Lookup(manifest.dataset, key, manifest.key, outer=side == "LEFT")

    def _side(self, join: exp.Join, source: Source) -> str:
        """LEFT, or nothing. Raises PlanError for any other kind of join."""
        side, kind = str(join.args.get("side") or "").upper(), str(join.args.get("kind") or "").upper()
        if side in ("", "LEFT") and kind in ("", "INNER", "OUTER", "CROSS") and not join.args.get("using"):
            return side
        named = "USING" if join.args.get("using") else f"{side} {kind}".strip() + " JOIN"
        dataset = source.manifest.dataset
        reason = f"{named} is not supported; write JOIN or LEFT JOIN {dataset} … ON {_written(source)}"
        raise self._statement.refuse(join, reason)

    def _unbound(self, source: Source) -> str:
        """A comma, or CROSS JOIN: where its key is compared, if anywhere, is WHERE."""
        dataset, key = source.manifest.dataset, {column.name.casefold() for column in source.manifest.key}
        where = self._statement.select.args.get("where")
        compared = {
            column.name.casefold()
            for comparison in (where.find_all(exp.EQ) if where is not None else ())
            for column in comparison.find_all(exp.Column)
            if column.table.casefold() == source.alias.casefold() or self._is_only_in(source, column)
        }
        if key <= compared:
            written = f"JOIN {dataset} … ON {_written(source)}"
            return f"the key of {dataset} is compared in WHERE; move it to ON of a JOIN: {written}"
        return (
            f"every row of {dataset} would be read for each row before it; "
            f"join it by its key ({_key(source)}): JOIN {dataset} … ON {_written(source)}"
        )

    def _is_only_in(self, source: Source, column: exp.Column) -> bool:
        """A name without a table that no other table has."""
        name = column.name.casefold()
        holders = [
            other
            for other in self._scope.sources
            if any(name == held.name.casefold() for held in other.manifest.columns)
        ]
        return not column.table and all(holder is source for holder in holders)

    def _incomplete(self, source: Source, missing: list[str]) -> str:
        dataset, first = source.manifest.dataset, self._scope.sources[0].manifest.dataset
        reason = (
            f"{dataset} is joined by its whole key ({_key(source)}), one row at a time; "
            f"ON does not give {', '.join(missing)}"
        )
        if len(self._scope.sources) > 2 or dataset == first:
            return (
                f"{reason}. Begin FROM with the dataset of which many rows are read, and JOIN the others by their keys"
            )
        turned = f"FROM {dataset} … JOIN {first} … ON {_written(self._scope.sources[0])}"
        return f"{reason}. To read many of its rows turn the two round: {turned}"


def _key(source: Source) -> str:
    return ", ".join(column.name for column in source.manifest.key)


def _written(source: Source) -> str:
    """The condition to write."""
    return " AND ".join(f"{source.alias}.{column.name} = …" for column in source.manifest.key)


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
