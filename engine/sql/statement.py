"""The text of a service's SQL, parsed, and refusals that point into it.

Rule: what is not known to be right is refused, with the fragment underlined and, where there
is one, the way to write it. Nothing of the text is ever executed or rewritten.
"""

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.duckdb import DuckDBParser

from engine.analysis.reading import MAKE_A_DATASET
from engine.plan import PlanError

SQL_CHARS_MAX = 20_000  # a longer one is a program
DEPTH_MAX = 100  # of nesting; ours and Python's compiler recurse
_CLAUSES = {"expressions", "from_", "joins", "where", "group", "having", "order", "limit", "offset", "distinct"}
ELSEWHERE = "an analytical service may have it: analytical = true"
_CLAUSE_ADVICE = {
    "with_": f"WITH is not supported; write one SELECT over the tables; {ELSEWHERE}",
    "qualify": f"QUALIFY is not supported; {ELSEWHERE}",
    "windows": "WINDOW is not supported",
    "sample": "SAMPLE is not supported",
    "laterals": "LATERAL is not supported",
    "pivots": "PIVOT is not supported",
}
_FIRST_IN_LIST = re.compile(r"\s*SELECT\s+(?:DISTINCT\s+)?:([A-Za-z_]\w*)", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r"%?:([A-Za-z_]\w*)%?", re.ASCII)


class _Placing(DuckDBParser):
    """Remembers where each parameter stands; of other words the parser does by itself."""

    def _parse_placeholder(self) -> exp.Expr | None:
        first = self._curr
        found = super()._parse_placeholder()
        if isinstance(found, exp.Placeholder):
            found.meta.update(start=first.start, end=self._prev.end)
        return found


class _Dialect(DuckDB):
    Parser = _Placing


class Statement:
    """`select` is the tree of the one SELECT; `refuse` words what is wrong with a part of it."""

    def __init__(self, sql: str) -> None:
        """Raises PlanError when the text is not one SELECT."""
        self.sql = sql
        if len(sql) > SQL_CHARS_MAX:
            raise PlanError(f"the SQL is longer than {SQL_CHARS_MAX} characters")
        try:
            trees = [tree for tree in sqlglot.parse(sql, dialect=_Dialect) if tree is not None]
        except (ParseError, TokenError) as error:
            raise PlanError(self._syntax(error)) from None
        except RecursionError:
            raise PlanError("the SQL is nested too deeply") from None
        if not trees:
            raise PlanError("the SQL must be one SELECT statement")
        if len(trees) > 1:
            raise self._second_statement()
        tree = trees[0]
        if not isinstance(tree, exp.Select):
            joined = f"; for {tree.key.upper()}, {ELSEWHERE}" if isinstance(tree, exp.SetOperation) else ""
            raise PlanError(f"the SQL must be one SELECT statement{joined}")
        if _depth(tree) > DEPTH_MAX:
            raise PlanError("the SQL is nested too deeply")
        self.select: exp.Select = tree

    def _second_statement(self) -> PlanError:
        tokens = sqlglot.tokenize(self.sql, dialect="duckdb")
        after = False
        for token in tokens:
            if after and token.token_type.name != "SEMICOLON":
                return self._refusal(
                    token.start, len(self.sql), "the SQL must be one SELECT statement; this is a second one"
                )
            after = after or token.token_type.name == "SEMICOLON"
        raise AssertionError("two statements have a ; between them")

    def _syntax(self, error: Exception) -> str:
        details = getattr(error, "errors", None)
        if not details:
            return f"the SQL cannot be read: {str(error).splitlines()[0][:200]}"
        line, column = int(details[0].get("line") or 1), int(details[0].get("col") or 1)
        word = str(details[0].get("highlight") or "")
        lines = self.sql.splitlines() or [""]
        text = lines[min(line, len(lines)) - 1]
        start = max(0, column - len(word))
        reason = "the SQL cannot be read here"
        after = _WORD.match(str(details[0].get("end_context") or ""))
        if first := _FIRST_IN_LIST.match(self.sql):
            name = first[1]
            reason = f"a parameter cannot stand first in the list; say its type: CAST(:{name} AS VARCHAR) AS {name}"
        elif word == ":" and after is not None:
            name = after[0]
            word += name
            reason = f"{name} is a word of SQL, which no parameter can be named here; take another, as :{name}_value"
        return f"line {line}: {reason}\n{_underlined(text, start, start + max(1, len(word)))}"

    def check_clauses(self) -> None:
        """Raises PlanError for a clause outside the compiled language."""
        for name, value in self.select.args.items():
            if value and name not in _CLAUSES:
                advice = _CLAUSE_ADVICE.get(name, f"{name.strip('_').upper()} is not supported")
                raise self.refuse(value if isinstance(value, exp.Expression) else self.select, advice)

    def refuse(self, node: exp.Expr, reason: str) -> PlanError:
        """The error to raise: the reason, and the line with the node underlined where its place is known."""
        span = _span(node)
        if span is None:
            return PlanError(f"{reason}\n    {node.sql(dialect='duckdb')[:120]}")
        return self._refusal(*span, reason)

    def _refusal(self, start: int, end: int, reason: str) -> PlanError:
        line_start = self.sql.rfind("\n", 0, start) + 1
        line_end = self.sql.find("\n", start)
        line = self.sql[line_start : line_end if line_end >= 0 else len(self.sql)]
        number = self.sql.count("\n", 0, start) + 1
        end = min(end, line_start + len(line))
        return PlanError(f"line {number}: {reason}\n{_underlined(line, start - line_start, end - line_start)}")

    def tables(self) -> Iterator[exp.Table]:
        """The tables of FROM and JOIN, in order. Raises PlanError for anything else there."""
        source = self.select.args.get("from_")
        if source is None:
            raise self.refuse(self.select, "there is no FROM: name the dataset to read")
        joins = self.select.args.get("joins") or []
        for node in (source.this, *(join.this for join in joins)):
            if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
                raise self.refuse(node, f"only datasets can be read, by their names; {MAKE_A_DATASET}")
            if node.args.get("db") is not None:
                raise self.refuse(node, "a dataset has no schema before its name")
            if any(value for name, value in node.args.items() if name not in ("this", "alias", "joins")):
                raise self.refuse(node, "a dataset's name stands alone, or with AS")
            yield node


def quoted_parameter(text: str) -> str | None:
    """The name of a parameter that somebody wrote into a text, `':name'`; None: it is a text."""
    found = _QUOTED.fullmatch(text)
    return found[1] if found else None


def without_quotes(name: str, text: str) -> str:
    """What is to be said of it."""
    instead = f":{name}"
    if text != instead:
        instead = " || ".join(
            part for part in (text.startswith("%") and "'%'", instead, text.endswith("%") and "'%'") if part
        )
    return f"a parameter stands without quotes, which make a text of it: write {instead}"


def _depth(tree: exp.Expr) -> int:
    deepest, level = 0, [(tree, 1)]
    while level:
        node, depth = level.pop()
        deepest = max(deepest, depth)
        level.extend((child, depth + 1) for child in node.iter_expressions())
    return deepest


def _span(node: exp.Expr) -> tuple[int, int] | None:
    """(start, end) of the node's text, as far as the parser remembers."""
    places = [part.meta for part in node.walk() if "start" in part.meta and "end" in part.meta]
    if not places:
        return None
    return min(place["start"] for place in places), max(place["end"] for place in places) + 1


def _underlined(line: str, start: int, end: int) -> str:
    stripped = line.lstrip()
    cut = len(line) - len(stripped)
    return f"    {stripped.rstrip()}\n    {' ' * (start - cut)}{'^' * max(1, end - start)}"
