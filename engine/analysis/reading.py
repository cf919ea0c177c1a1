"""What a text gives DuckDB to do: to read the datasets it may, and nothing else.

Rule: DuckDB's own parser says what a text means, so there is no second reading of it that
could differ; every kind of node, function and table in its tree is on a list here or the
text is refused. A table is a dataset, or a WITH query that is in scope where it is named:
what is neither could be a file, a system table or a Python variable to DuckDB. Knows no
SQL front: the compiler and, as a second wall, the executor ask the same question.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, Protocol

import msgspec

from engine.analysis.duck_functions import FUNCTIONS, TABLE_FUNCTIONS

Node = dict[str, Any]

_QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"}
_RELATIONS = {"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION"}
_MODIFIERS = {"ORDER_MODIFIER", "LIMIT_MODIFIER", "DISTINCT_MODIFIER", "ORDER_DEFAULT", "ASCENDING", "DESCENDING"}
_TYPES = _QUERIES | _RELATIONS | _MODIFIERS
_CLASSES = {
    "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION", "LAMBDA",
    "LAMBDA_REF", "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", "WINDOW",
}  # fmt: skip
_ADVICE = {
    "PIVOT": "PIVOT and UNPIVOT are not supported; write an aggregate with FILTER (WHERE …) for each column",
    "SHOW_REF": "DESCRIBE, SUMMARIZE and SHOW read no rows; write SELECT",
    "DEFAULT": "DEFAULT stands for no value here",
    "INSERT_QUERY_NODE": "only SELECT can stand in WITH",
    "UPDATE_QUERY_NODE": "only SELECT can stand in WITH",
    "DELETE_QUERY_NODE": "only SELECT can stand in WITH",
}
MAKE_A_DATASET = 'make it one: [datasets.NAME] source = "…"'
NAMED_MAX = 8  # datasets, in a refusal
_NOWHERE = 1 << 63  # what DuckDB says of nodes it made itself is above
_WORD = re.compile(r"[a-z_]", re.IGNORECASE)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_SYSTEM = re.compile(r"(?:duckdb|pg|sqlite|pragma|information)_", re.IGNORECASE)


class Session(Protocol):
    """Of duckdb.DuckDBPyConnection, what is needed."""

    def execute(self, query: str, parameters: object = None, /) -> "Session": ...
    def fetchone(self) -> tuple[Any, ...] | None: ...


class Refused(Exception):
    """`start`, `length`: where in the text, in bytes of UTF-8; None where DuckDB does not say."""

    def __init__(self, reason: str, start: int | None = None, length: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.start = start
        self.length = length


def parse(session: Session, text: str) -> Node:
    """The query node of a text that is one SELECT. Raises Refused."""
    if "\0" in text:
        raise Refused("SQL text cannot hold a NUL character")
    found = session.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    assert found is not None
    try:
        parsed = msgspec.json.decode(found[0])
    except RecursionError:
        raise Refused("the SQL is nested too deeply") from None
    if parsed["error"]:
        message = str(parsed["error_message"])
        if "Only SELECT" in message:
            raise Refused("the SQL must be one SELECT statement")
        if "expression depth" in message:
            raise Refused("the SQL is nested too deeply")
        start, length = msgspec.json.decode(parsed.get("location", "[null,1]"))
        raise Refused(f"the SQL cannot be read: {message}", start, length)
    if len(parsed["statements"]) != 1:
        raise Refused("the SQL must be one SELECT statement")
    query: Node = parsed["statements"][0]["node"]
    return query


def check(query: Node, datasets: Collection[str]) -> tuple[str, ...]:
    """The datasets that a parsed text reads, each once, in order. Raises Refused.

    `datasets`: their names, in lower case.
    """
    reader = _Reader(datasets)
    try:
        reader.visit(query, frozenset())
    except RecursionError:
        raise Refused("the SQL is nested too deeply") from None
    return tuple(dict.fromkeys(reader.found))


def no_dataset(name: str, known: Collection[str]) -> str:
    """What is said of a table that is none: those there are, the nearest first, and how to have it."""
    near = get_close_matches(name.lower(), sorted(known), n=len(known) or 1, cutoff=0.0)
    close = get_close_matches(name.lower(), near, n=1)
    add = f"add [datasets.{name.lower()}]" if _PLAIN.fullmatch(name) else MAKE_A_DATASET
    shown = ", ".join([*near[:NAMED_MAX], *(["…"] if len(near) > NAMED_MAX else [])]) or "none"
    meant = f"; did you mean {close[0]}? Or {add}" if close else f"; {add}"
    return f"there is no dataset {name!r}{meant}; known: {shown}"


def place(node: Node) -> tuple[int | None, int]:
    """(start, length) in bytes."""
    start, length = node.get("query_location", _NOWHERE), node.get("query_location_length", 0)
    return (None, 1) if start >= _NOWHERE else (start, max(1, length))


def spelled(query: Node) -> Node:
    """The SELECT whose list names the answer's columns: of a UNION the first."""
    while query["type"] == "SET_OPERATION_NODE":
        query = query["children"][0] if query.get("children") else query["left"]
    return query


class _Reader:
    def __init__(self, datasets: Collection[str]) -> None:
        self._datasets = datasets
        self.found: list[str] = []

    def visit(self, node: Any, visible: frozenset[str]) -> None:
        """`visible`: names of WITH queries, in lower case."""
        if isinstance(node, list):
            for part in node:
                self.visit(part, visible)
        elif isinstance(node, dict):
            self._known(node)
            visible = self._with(node, visible)
            for name, part in node.items():
                if name != "cte_map":
                    self.visit(part, visible)

    def _known(self, node: Node) -> None:
        kind, group = node.get("type"), node.get("class")
        if group is not None:
            if group not in _CLASSES:
                raise self._refuse(node, _ADVICE.get(group, f"{group} is not supported"))
            if group in ("FUNCTION", "WINDOW"):
                self._function(node)
        elif isinstance(kind, str):
            if kind not in _TYPES:
                raise self._refuse(node, _ADVICE.get(kind, f"{kind.removesuffix('_NODE')} is not supported"))
            if kind == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in TABLE_FUNCTIONS:
                name = node["function"]["function_name"]
                raise self._refuse(
                    node,
                    f"{name}() is not supported in FROM: only datasets can be read, by their name; {MAKE_A_DATASET}",
                )

    def _with(self, node: Node, visible: frozenset[str]) -> frozenset[str]:
        """Each WITH query sees those before it, and itself only when it is recursive, as in DuckDB."""
        for entry in (node.get("cte_map") or {}).get("map", ()):
            name, query = entry["key"].lower(), entry["value"]["query_node"]
            if not _PLAIN.fullmatch(name) or _SYSTEM.match(name):
                raise self._refuse(query, f"{entry['key']!r} is no name for a WITH query here; take a plain word")
            itself = {name} if query["type"] == "RECURSIVE_CTE_NODE" else set()
            value = entry["value"]
            self.visit({**value, "query_node": query}, visible | itself)
            visible = visible | {name}
        if node.get("type") == "BASE_TABLE" and "class" not in node:
            self._table(node, visible)
        return visible

    def _table(self, node: Node, visible: frozenset[str]) -> None:
        name = str(node["table_name"])
        if node["schema_name"] or node["catalog_name"] or len(node["qualified_name"]["path"]) != 1:
            raise self._refuse(node, "a dataset has no schema before its name")
        if node.get("at_clause") is not None:
            raise self._refuse(node, "a dataset's name stands alone, or with AS")
        if name.lower() in visible:
            return
        if name.lower() not in self._datasets:
            raise self._refuse(node, no_dataset(name, {*self._datasets, *visible}))
        self.found.append(name.lower())

    def _function(self, node: Node) -> None:
        name = str(node["function_name"])
        if node.get("schema") or node.get("catalog") or len(node["qualified_name"]["path"]) != 1:
            raise self._refuse(node, f"a function has nothing before its name: write {name}(…) with all its arguments")
        if _WORD.match(name) and name.lower() not in FUNCTIONS:
            close = get_close_matches(name.lower(), FUNCTIONS, n=1, cutoff=0.8)
            raise self._refuse(node, f"{name}() is not supported" + (f"; did you mean {close[0]}()?" if close else ""))

    def _refuse(self, node: Node, reason: str) -> Refused:
        return Refused(reason, *place(node))
