"""SQL services that a new project is offered: what belongs to a row, and a row with what it refers to.

Rule: only what compiles is offered, over an index where it needs one, by the very compiler
that the node has.
"""

import re
from collections.abc import Sequence

import msgspec

from console.references import Reference, Table, singular
from engine.plan import PlanError
from engine.sql.front import compile_sql
from engine.sql.statement import Statement
from havok.errors import LoadError
from havok.keys import KeyColumn
from havok.manifest import Column, Index, Manifest
from havok.settings import RESERVED_PARAMS, ParamSettings
from loader.schema import key_kind

NAME_CHARS_MAX = 63
JOINED_COLUMNS_MAX = 8  # of a parent: the rest is easily added
LIMIT = ParamSettings(type="int", default=100, min=1, max=1000)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Proposal(msgspec.Struct, frozen=True):
    """`sample`: the query string without values; `says`: what it is for, in a line."""

    name: str
    sql: str
    sample: str
    says: str
    has_limit: bool


class Proposals(msgspec.Struct, frozen=True):
    """`indexes`: dataset → name → columns; `left_out`: what else was thought of, and why it is not offered."""

    services: tuple[Proposal, ...] = ()
    indexes: dict[str, dict[str, tuple[str, ...]]] = {}
    left_out: tuple[str, ...] = ()


def propose(tables: Sequence[Table], references: Sequence[Reference]) -> Proposals:
    """At most one service for each reference, and one for each table that refers to others."""
    drafting = _Drafting(tables)
    for reference in references:
        drafting.of_parent(reference)
    for table in tables:
        own = [reference for reference in references if reference.child.name == table.name]
        if own:
            drafting.with_parents(table, own)
    return Proposals(tuple(drafting.services), drafting.indexes, tuple(drafting.left_out))


class _Drafting:
    def __init__(self, tables: Sequence[Table]) -> None:
        self._manifests = {table.name: _manifest(table) for table in tables if table.key}
        self._taken = {table.name for table in tables}
        self.services: list[Proposal] = []
        self.left_out: list[str] = []
        self.indexes: dict[str, dict[str, tuple[str, ...]]] = {}

    def of_parent(self, reference: Reference) -> None:
        """Rows of the child by the parent's key."""
        child, columns = reference.child, reference.columns
        before, index = self._manifests[child.name], None
        if child.key[: len(columns)] != columns:
            index = "by_" + re.sub(r"[^a-z0-9]+", "_", "_".join(columns).lower()).strip("_")[:50]
            self._manifests[child.name] = msgspec.structs.replace(
                before, indexes=(*before.indexes, Index(index, _key(child, columns)))
            )
        params = _params(columns)
        where = " AND ".join(f"{_name(column)} = :{param}" for column, param in zip(columns, params, strict=True))
        order = ", ".join(_name(column) for column in child.key if column not in columns)
        sql = f"SELECT * FROM {_name(child.name)}\nWHERE {where}\nORDER BY {order} LIMIT :limit"
        name = f"{child.name}_of_{singular(reference.parent.name)}"
        if name in self._taken:
            name = f"{child.name}_by_{'_'.join(columns).lower()}"
        says = f"{child.name} of one {singular(reference.parent.name)}"
        if not self._offer(name, sql, params, says, has_limit=True):
            self._manifests[child.name] = before
        elif index is not None:
            self.indexes.setdefault(child.name, {})[index] = columns

    def with_parents(self, child: Table, references: Sequence[Reference]) -> None:
        """A row of the child, with the rows it refers to."""
        columns = [(f"c.{_name(column)}", column, column) for column in child.columns]
        joins: list[str] = []
        for number, reference in enumerate(references, 1):
            parent, alias = reference.parent, f"p{number}"
            pairs = zip(parent.key, reference.columns, strict=True)
            condition = " AND ".join(f"{alias}.{_name(key)} = c.{_name(column)}" for key, column in pairs)
            joins.append(f"LEFT JOIN {_name(parent.name)} {alias} ON {condition}")
            rest = [column for column in parent.columns if column not in parent.key][:JOINED_COLUMNS_MAX]
            label = singular(parent.name).replace("-", "_")
            if sum(other.parent.name == parent.name for other in references) > 1:
                label = reference.columns[0]
            taken = {shown.casefold() for _, _, shown in columns}
            columns += [
                (f"{alias}.{_name(column)}", column, f"{label}_{column}" if column.casefold() in taken else column)
                for column in rest
            ]
        listed = ", ".join(text if column == shown else f"{text} AS {_name(shown)}" for text, column, shown in columns)
        params = _params(child.key)
        where = " AND ".join(f"c.{_name(column)} = :{param}" for column, param in zip(child.key, params, strict=True))
        sql = "\n".join([f"SELECT {listed}", f"FROM {_name(child.name)} c", *joins, f"WHERE {where}"])
        parents = list(dict.fromkeys(singular(reference.parent.name) for reference in references))
        says = f"one {singular(child.name)} with its {' and '.join(parents)}"
        self._offer(f"{singular(child.name)}_with_{'_and_'.join(parents)}", sql, params, says, has_limit=False)

    def _offer(self, name: str, sql: str, params: Sequence[str], says: str, *, has_limit: bool) -> bool:
        """Whether it compiles, and under a name of its own."""
        name = re.sub(r"[^a-z0-9_-]+", "_", name)[:NAME_CHARS_MAX]
        try:
            if name in self._taken:
                raise PlanError("another service has its name")
            compile_sql(sql, self._manifests, {"limit": LIMIT} if has_limit else {})
        except PlanError as error:
            self.left_out.append(f"{name} ({says}) is not offered: {error.detail.splitlines()[0]}")
            return False
        self._taken.add(name)
        sample = "&".join(f"{param}=…" for param in params)
        self.services.append(Proposal(name, sql, sample, says, has_limit))
        return True


def _params(columns: Sequence[str]) -> list[str]:
    """A parameter for each column: its name where it can be one, else what comes nearest."""
    found: list[str] = []
    for column in columns:
        name = re.sub(r"[^A-Za-z0-9_]+", "_", column).strip("_") or "key"
        name = name if _WORD.fullmatch(name) else f"key_{name}"
        while name in (*found, "limit", *RESERVED_PARAMS) or not _is_free(name):
            name += "_value"
        found.append(name)
    return found


def _is_free(name: str) -> bool:
    """Whether it is no word of SQL."""
    try:
        Statement(f"SELECT x FROM t WHERE x = :{name}")
    except PlanError:
        return False
    return True


def _manifest(table: Table) -> Manifest:
    """As the first load will make it."""
    columns = tuple(Column(column, kind) for column, kind in zip(table.columns, table.types, strict=True))
    return Manifest(dataset=table.name, version="", created="", rows=table.rows, files={}, source=table.source,
                    columns=columns, key=_key(table, table.key))  # fmt: skip


def _key(table: Table, columns: Sequence[str]) -> tuple[KeyColumn, ...]:
    try:
        return tuple(KeyColumn(column, key_kind(column, table.type_of(column))) for column in columns)
    except LoadError as error:  # a guess is of kinds with an order
        raise AssertionError(error.detail) from None


def _name(column: str) -> str:
    """As it stands in SQL."""
    return column if _PLAIN.fullmatch(column) and _is_free(column) else '"' + column.replace('"', '""') + '"'
