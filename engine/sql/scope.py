"""What a name in a service's SQL can mean: a column of a dataset, or a parameter.

Rule: names are matched as DuckDB does, without regard to case; a name that two tables have
must say which. A parameter's type is declared, or that of what it is first compared with.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import msgspec
from sqlglot import exp

from engine.analysis.reading import no_dataset
from engine.plan import PlanError
from engine.queries.expression import Argument, Column
from engine.sql.parameters import DECLARED, fitting, param_type, taken, unclear
from engine.sql.statement import ELSEWHERE, Statement, quoted_parameter, without_quotes
from havok.manifest import Manifest
from havok.settings import ParamSettings


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
            if kind := self._column_type(table):
                raise self._statement.refuse(
                    node,
                    f"{table} is a column, a {kind}, whose fields cannot be taken out here: "
                    f"load {name} as a column of its own; {ELSEWHERE}",
                )
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
            param = quoted_parameter(name)
            hint = f"a text stands in single quotes: '{name}'" if param is None else without_quotes(param, name)
        raise self._statement.refuse(node, f"there is no column {name!r} in {where}; {hint}")

    def _column_type(self, name: str) -> str | None:
        every = (column for source in self.sources for column in source.manifest.columns)
        return next((column.type for column in every if column.name.casefold() == name.casefold()), None)

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
        self._check_name(node)
        declared = self._declared.get(name)
        known = self.params.get(name)
        kind = DECLARED.get(declared, declared) if declared else known
        if kind is not None and (kind.endswith("[]") or kind.startswith("list<")):
            raise self._statement.refuse(node, f":{name} is a list: it stands in IN (:{name}) and nowhere else")
        if kind is None:
            if beside is None:
                raise self._statement.refuse(node, unclear(name, self._fitting(node)))
            kind = param_type(beside)
            if kind is None:
                raise self._statement.refuse(node, f":{name} is compared with a {beside}, which no parameter can be")
        self.params[name] = kind
        return Argument(name, kind)

    def _check_name(self, node: exp.Expression) -> None:
        if reason := taken(node.name):
            raise self._statement.refuse(node, reason)

    def _fitting(self, node: exp.Expression) -> str | None:
        """The declared type that a parameter most likely has, by the columns and texts beside it."""
        child, parent = node, node.parent
        while isinstance(parent, exp.Paren):
            child, parent = parent, parent.parent
        if isinstance(parent, exp.DPipe | exp.Concat):
            return "string"
        if parent is None or isinstance(parent, exp.Select | exp.Alias):
            return None
        others = [part for part in parent.iter_expressions() if part is not child]
        found = [column for part in others for column in part.find_all(exp.Column)]
        kinds = [self.column(column).type for column in found]
        kinds += ["VARCHAR" for part in others if isinstance(part, exp.Literal) and part.is_string]
        return fitting(kinds, divided=any(part.find(exp.Div) for part in (parent, *others)))

    def declared(self, name: str) -> str | None:
        return self._declared.get(name)

    def list_argument(self, node: exp.Expression, kind: str) -> Argument:
        """A parameter that is a list. Raises PlanError when it is used as something else too."""
        self._check_name(node)
        if self.params.get(node.name, kind) != kind:
            raise self._statement.refuse(
                node, f":{node.name} is a {kind} here and a {self.params[node.name]} elsewhere"
            )
        self.params[node.name] = kind
        return Argument(node.name, kind)


def find_sources(statement: Statement, manifests: Mapping[str, Manifest]) -> list[Source]:
    """The tables of the query as sources. Raises PlanError for one that is no dataset."""
    sources: list[Source] = []
    joins = statement.select.args.get("joins") or []
    sides = [False, *(str(join.args.get("side") or "").upper() == "LEFT" for join in joins)]
    for table, outer in zip(statement.tables(), sides, strict=True):
        manifest = manifests.get(table.name.lower())
        if manifest is None:
            raise statement.refuse(table, no_dataset(table.name, manifests))
        alias = table.alias or table.name
        if any(source.alias.casefold() == alias.casefold() for source in sources):
            raise PlanError(f"{alias} stands twice in FROM; give one of them another name: {table.name} AS other")
        sources.append(Source(alias, manifest, outer))
    return sources
