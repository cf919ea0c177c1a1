"""The parameters in a text for DuckDB: where they stand, and of which type they must be.

Rule: `:name` becomes `$name` where a parameter can stand, character for character, so that
places in DuckDB's tree are places in the author's text. A type is declared, or that of the
column the parameter is first compared with; where neither is plain, the author must say it.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import sqlglot
from sqlglot.errors import TokenError

from engine.analysis.reading import Node, Refused
from engine.plan import PlanError
from engine.sql.parameters import DECLARED, fitting, param_type
from engine.sql.statement import quoted_parameter, without_quotes
from havok.manifest import Manifest

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_VALUES = {"VAR", "STRING", "NUMBER", "IDENTIFIER", "R_PAREN", "R_BRACKET", "R_BRACE", "RAW_STRING", "HEREDOC_STRING"}
_PATTERNS = {"~~", "!~~", "~~*", "!~~*", "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"}


class Site(msgspec.Struct, frozen=True):
    """`start`: of the colon, in characters; `place`: the same in bytes of UTF-8."""

    name: str
    start: int
    place: int


class Wanted(msgspec.Struct, frozen=True):
    """What a parameter's place asks for; `alone`: it is all there is in the brackets of an IN.

    `column`: the one it is compared with, of type `of`; `clause`: LIMIT, OFFSET or ORDER BY, which it is all of;
    `fits`: the declared type that would do where no `kind` is plain.
    """

    kind: str | None
    alone: bool = False
    column: str = ""
    of: str = ""
    clause: str = ""
    fits: str | None = None


def find_sites(sql: str) -> tuple[list[Site], str]:
    """(parameters in order, the statement without a ; at its end). Raises PlanError, Refused."""
    try:
        tokens = sqlglot.tokenize(sql, dialect="duckdb")
    except TokenError as error:
        raise PlanError(f"the SQL cannot be read: {str(error).splitlines()[0][:200]}") from None
    end = len(sql)
    while tokens and tokens[-1].token_type.name == "SEMICOLON":
        end = tokens.pop().start
    if second := next(
        (token.start for before, token in pairwise(tokens) if before.token_type.name == "SEMICOLON"), None
    ):
        start = len(sql[:second].encode())
        raise Refused("the SQL must be one SELECT statement; this is a second one", start, len(sql[second:].encode()))
    sites = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.token_type.name == "STRING" and (name := quoted_parameter(token.text)):
            start, text = len(sql[: token.start].encode()), sql[token.start : token.end + 1]
            raise Refused(without_quotes(name, token.text), start, len(text.encode()))
        found = _NAME.match(sql, token.start + 1)
        if token.token_type.name != "COLON" or found is None:
            continue
        glued = before is not None and before.end + 1 == token.start and before.token_type.name in _VALUES
        if not glued:  # {'a':b}, x[1:n]
            sites.append(Site(found[0], token.start, len(sql[: token.start].encode())))
    return sites, sql[:end]


def wanted(query: Node, manifests: Mapping[str, Manifest]) -> dict[int, Wanted]:
    """Place of each parameter in the tree → what it must be."""
    finder = _Finder(manifests)
    finder.visit(query, ())
    return finder.found


def declared_type(declared: str) -> str:
    """A type of the configuration, as SQL's."""
    if declared.startswith("list<"):
        return f"{DECLARED.get(declared[5:-1], declared[5:-1])}[]"
    return DECLARED.get(declared, declared)


Tables = Mapping[str, Manifest | None]  # by alias in lower case; None: its columns are not known here


class _Finder:
    def __init__(self, manifests: Mapping[str, Manifest]) -> None:
        self._manifests = manifests
        self._with: set[str] = set()
        self.found: dict[int, Wanted] = {}

    def visit(self, node: Any, scopes: Sequence[Tables]) -> None:
        """`scopes`: the tables of the enclosing SELECTs, innermost first."""
        if isinstance(node, list):
            for part in node:
                self.visit(part, scopes)
        elif isinstance(node, dict):
            self._with |= {entry["key"].lower() for entry in (node.get("cte_map") or {}).get("map", ())}
            if node.get("type") == "SELECT_NODE":
                scopes = (self._tables(node["from_table"]), *scopes)
            if node.get("class") == "PARAMETER":
                self.found.setdefault(node["query_location"], Wanted(None))
            self._context(node, scopes)
            for part in node.values():
                self.visit(part, scopes)

    def _tables(self, node: Node) -> dict[str, Manifest | None]:
        if node["type"] == "JOIN":
            return self._tables(node["left"]) | self._tables(node["right"])
        name = str(node.get("table_name") or "").lower()
        manifest = None if name in self._with or node.get("column_name_alias") else self._manifests.get(name)
        return {str(node.get("alias") or name).lower(): manifest}

    def _context(self, node: Node, scopes: Sequence[Tables]) -> None:
        group, kind = node.get("class"), node.get("type")
        if group == "COMPARISON":
            self._together([node["left"], node["right"]], scopes)
        elif group == "BETWEEN":
            self._together([node["input"], node["lower"], node["upper"]], scopes)
        elif kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            self._in(node["children"], scopes)
        elif kind == "LIMIT_MODIFIER":
            is_count = node["limit_type"] == "ROW_COUNT"
            self._put(node["limit"], Wanted("BIGINT", clause="LIMIT") if is_count else Wanted("DOUBLE"))
            self._put(node["offset"], Wanted("BIGINT", clause="OFFSET"))
        elif kind == "ORDER_MODIFIER":
            for order in node["orders"]:
                self._put(order["expression"], Wanted(None, clause="ORDER BY"))
        elif group == "CAST":
            self._note(node["child"], _cast_type(node["type_expr"]))
        elif group == "FUNCTION":
            args = [part["expression"] for part in node["arguments"]]
            self._call(node["function_name"], args, scopes)
            self._beside(args, scopes, divided=node["function_name"] == "/")
        elif kind == "OPERATOR_COALESCE":
            self._beside(node["children"], scopes)

    def _call(self, name: str, args: list[Node], scopes: Sequence[Tables]) -> None:
        if name in _PATTERNS:
            for arg in args:
                self._note(arg, "VARCHAR")
        elif name == "contains" and len(args) == 2:  # x IN :list
            kind = self._type(args[1], scopes)
            self._note(args[0], kind and f"{kind}[]")
        elif name.startswith("to_") and len(args) == 1:  # INTERVAL (:n) DAY
            arg = args[0]
            while arg.get("class") == "CAST" or arg.get("function_name") == "trunc":
                arg = arg["child"] if arg.get("class") == "CAST" else arg["arguments"][0]["expression"]
            self._note(arg, "DOUBLE" if name == "to_seconds" else "BIGINT" if name.endswith("s") else None)

    def _in(self, children: list[Node], scopes: Sequence[Tables]) -> None:
        self._together(children, scopes)
        if len(children) == 2 and children[1].get("class") == "PARAMETER":
            of, name = self._column(children[0], scopes)
            kind = of and param_type(of)
            self.found[children[1]["query_location"]] = Wanted(kind and f"{kind}[]", True, name, of or "")

    def _together(self, nodes: list[Node], scopes: Sequence[Tables]) -> None:
        columns = [(kind, of, name) for node in nodes for of, name in [self._column(node, scopes)]
                   if of and (kind := param_type(of))]  # fmt: skip
        for node in nodes if columns else ():
            kind, of, name = columns[0]
            self._put(node, Wanted(kind, column=name, of=of))
        if not columns:
            self._beside(nodes, scopes)

    def _beside(self, nodes: list[Node], scopes: Sequence[Tables], *, divided: bool = False) -> None:
        """What a parameter that nothing plain is compared with most likely is, by the columns in what it is with."""
        places = [node for node in nodes if node.get("class") == "PARAMETER"]
        if places:
            kinds: list[str] = []
            for node in nodes:
                divided = self._gather(node, scopes, kinds) or divided
            for node in places:
                self._put(node, Wanted(None, fits=fitting(kinds, divided=divided)))

    def _gather(self, node: Any, scopes: Sequence[Tables], kinds: list[str]) -> bool:
        """Adds the types of the columns in an expression to `kinds`; whether something is divided there."""
        if isinstance(node, list):
            return max((self._gather(part, scopes, kinds) for part in node), default=False)
        if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
            return False
        if node.get("class") == "COLUMN_REF":
            of, _ = self._column(node, scopes)
            kinds += [of] if of else []
        divided = self._gather([*node.values()], scopes, kinds)
        return divided or node.get("function_name") == "/"

    def _note(self, node: Node | None, kind: str | None) -> None:
        if kind is not None:
            self._put(node, Wanted(kind))

    def _put(self, node: Node | None, found: Wanted) -> None:
        """The first that is said of a place holds."""
        if node is not None and node.get("class") == "PARAMETER":
            self.found.setdefault(node["query_location"], found)

    def _type(self, node: Node, scopes: Sequence[Tables]) -> str | None:
        """The type of a parameter beside this, when it is a dataset's column."""
        of, _ = self._column(node, scopes)
        return param_type(of) if of else None

    def _column(self, node: Node, scopes: Sequence[Tables]) -> tuple[str | None, str]:
        """(type, name) of a dataset's column; (None, "") for anything else."""
        if node.get("class") != "COLUMN_REF" or len(node["column_names"]) > 2:
            return None, ""
        *table, name = (part.lower() for part in node["column_names"])
        for tables in scopes:
            candidates = [tables[table[0]]] if table and table[0] in tables else [] if table else list(tables.values())
            found = {
                (column.type, column.name)
                for manifest in candidates
                if manifest is not None
                for column in manifest.columns
                if column.name.lower() == name
            }
            if found:
                return found.pop() if len({kind for kind, _ in found}) == 1 else (None, "")
            if None in candidates:
                break
        return None, ""


def _cast_type(node: Node) -> str | None:
    """The type of a parameter that the author casts to this one."""
    name, sizes = str(node.get("type_name")), [part.get("literal", {}).get("text") for part in node.get("children", ())]
    if name == "DECIMAL" and len(sizes) == 2 and None not in sizes:
        return param_type(f"DECIMAL({sizes[0]},{sizes[1]})")
    return None if sizes else param_type(name)
