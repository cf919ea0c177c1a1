"""What a name in a service's SQL can mean: a column of a dataset, or a parameter.

Rule: names are matched as DuckDB does, without regard to case; a name that two tables have
must say which. A parameter's type is declared, or that of what it is first compared with.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec
from sqlglot import exp

from engine.plan import PlanError
from engine.queries.expression import Argument, Column
from engine.sql.statement import Statement
from engine.sqltype import decimal, family, width_and_scale
from havok.manifest import Manifest
from havok.settings import ParamSettings

DECLARED = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}


class Source(msgspec.Struct, frozen=True):
    """A table of the query; columns of an `outer` one are NULL where nothing matches."""

    alias: str
    manifest: Manifest
    outer: bool = False


class Scope:
    def __init__(self, statement: Statement, sources: Sequence[Source], params: Mapping[str, ParamSettings]) -> None:
        self._statement = statement
        self.sources = tuple(sources)
        self._declared = {name: settings.type for name, settings in params.items() if settings.type}
        self.params: dict[str, str] = {}  # those that were used, in order → type

    def column(self, node: exp.Column) -> Column:
        """Raises PlanError naming the nearest column, or the tables that have it."""
        name, table = node.name, node.table
        candidates = [
            (number, source)
            for number, source in enumerate(self.sources)
            if not table or source.alias.casefold() == table.casefold()
        ]
        if table and not candidates:
            known = ", ".join(source.alias for source in self.sources)
            raise self._statement.refuse(node, f"there is no table {table!r} in FROM; it has {known}")
        found = [
            self._made(number, source, column.name, column.type)
            for number, source in candidates
            for column in source.manifest.columns
            if column.name.casefold() == name.casefold()
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise self._statement.refuse(
                node, f"{name} is a column of {len(found)} tables; write {candidates[0][1].alias}.{name}"
            )
        names = [column.name for _, source in candidates for column in source.manifest.columns]
        where = " or ".join(source.manifest.dataset for _, source in candidates)
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)[:200]}"
        if not close and node.this.args.get("quoted"):
            hint = f"a text stands in single quotes: '{name}'"
        raise self._statement.refuse(node, f"there is no column {name!r} in {where}; {hint}")

    def _made(self, number: int, source: Source, name: str, kind: str) -> Column:
        key = {column.name for column in source.manifest.key}
        return Column(number, name, kind, nullable=source.outer or name not in key)

    def every_column(self) -> list[Column]:
        """What * means."""
        return [
            self._made(number, source, column.name, column.type)
            for number, source in enumerate(self.sources)
            for column in source.manifest.columns
        ]

    def argument(self, node: exp.Expression, beside: str | None = None) -> Argument:
        """A parameter; `beside`: the type of what it is compared with. Raises PlanError without a type."""
        name = node.name
        if not name or name == "?":
            raise self._statement.refuse(node, "a parameter needs a name: write :name")
        declared = self._declared.get(name)
        known = self.params.get(name)
        kind = DECLARED.get(declared, declared) if declared else known
        if kind is not None and (kind.endswith("[]") or kind.startswith("list<")):
            raise self._statement.refuse(node, f":{name} is a list: it stands in IN (:{name}) and nowhere else")
        if kind is None:
            if beside is None:
                raise self._statement.refuse(
                    node, f'the type of :{name} is not clear; say it: params.{name} = {{ type = "string" }}'
                )
            kind = param_type(beside)
            if kind is None:
                raise self._statement.refuse(node, f":{name} is compared with a {beside}, which no parameter can be")
        self.params[name] = kind
        return Argument(name, kind)

    def declared(self, name: str) -> str | None:
        return self._declared.get(name)

    def list_argument(self, node: exp.Expression, kind: str) -> Argument:
        """A parameter that is a list. Raises PlanError when it is used as something else too."""
        if self.params.get(node.name, kind) != kind:
            raise self._statement.refuse(
                node, f":{node.name} is a {kind} here and a {self.params[node.name]} elsewhere"
            )
        self.params[node.name] = kind
        return Argument(node.name, kind)


def param_type(kind: str) -> str | None:
    """The type of a parameter that is compared with a column of this type; None: there is none."""
    found = family(kind)
    if found == "int":
        return kind if kind in ("UBIGINT", "HUGEINT") else "BIGINT"
    if found == "decimal":
        return decimal(38, width_and_scale(kind)[1])
    if found in ("double", "float"):
        return "DOUBLE"
    if found in ("bool", "string", "date", "moment"):
        return kind
    return None


def find_sources(statement: Statement, manifests: Mapping[str, Manifest]) -> list[Source]:
    """The tables of the query as sources. Raises PlanError for one that is no dataset."""
    sources: list[Source] = []
    joins = statement.select.args.get("joins") or []
    sides = [False, *(str(join.args.get("side") or "").upper() == "LEFT" for join in joins)]
    for table, outer in zip(statement.tables(), sides, strict=True):
        manifest = manifests.get(table.name.lower())
        if manifest is None:
            close = get_close_matches(table.name, list(manifests), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise statement.refuse(table, f"there is no dataset {table.name!r}{hint}")
        alias = table.alias or table.name
        if any(source.alias.casefold() == alias.casefold() for source in sources):
            raise PlanError(f"{alias} stands twice in FROM; give one of them another name: {table.name} AS other")
        sources.append(Source(alias, manifest, outer))
    return sources
