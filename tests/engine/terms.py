"""Random values, conditions and aggregates over the columns of tables, as SQL text.

Rule: everything here is inside the language, so that a refusal is a finding. The first of
each list is the plainest.
"""

from collections.abc import Mapping, Sequence

from tests.engine.draws import Draws
from tests.engine.tables import Table, family

# {} is a column of the family, {n} another number, {t} another text, {v} a value of the column's pool.
_VALUES: dict[str, Sequence[str]] = {
    "number": (
        "{}", "{} + 1", "{} * 2", "-CAST({} AS BIGINT)", "{} / 2", "{} % 3", "abs({})", "round({})", "{} + {n}",
        "coalesce({}, 0)", "CAST({} AS VARCHAR)",
        "CASE WHEN {} > 1 THEN 'big' WHEN {} IS NULL THEN 'none' ELSE 's' END",
        "greatest({}, 1)", "nullif({}, 1)", "{} - {n}", "{} * {n}", "CAST({} AS DOUBLE)", "round({}, 1)", "floor({})",
        "sign({})", "coalesce({}, {n})", "least({}, {n})", "{} / {n}", "{} = {n}",
    ),
    "float": ("{}", "{} > 1", "{} IS NULL"),
    "text": (
        "{}", "upper({})", "length({})", "{} || 'x'", "substr({}, 2)", "coalesce({}, '?')", "{} || {t}", "lower({})",
        "replace({}, 'a', 'xy')", "trim({})", "left({}, 1)", "{} LIKE '%a%'", "starts_with({}, 'a')", "concat({}, {t})",
        "reverse({})", "strpos({}, 'a')",
    ),
    "bool": (
        "{}", "NOT {}", "{} IS TRUE", "CASE WHEN {} THEN 'yes' ELSE 'no' END", "{} OR {n} > 1", "coalesce({}, false)",
    ),
    "date": (
        "{}", "year({})", "{} + 1", "month({})", "date_trunc('month', {})", "{} - DATE '2013-01-01'", "dayofweek({})",
        "CAST({} AS VARCHAR)", "dayname({})", "week({})",
    ),
    "moment": (
        "{}", "hour({})", "date_trunc('day', {})", "CAST({} AS DATE)", "CAST({} AS VARCHAR)", "minute({})",
        "second({})", "date_trunc('hour', {})", "quarter({})",
    ),
    "zoned": ("{}", "{} IS NULL"),
    "opaque": ("{}", "{} IS NULL"),
}  # fmt: skip
_CONDITIONS: dict[str, Sequence[str]] = {
    "number": (
        "{} > {v}", "{} = {v}", "{} <> {v}", "{} IS NULL", "{} IS NOT NULL", "{} <= {n}", "{} IN ({v}, {v})",
        "{} NOT IN ({v}, {v})", "{} BETWEEN {v} AND {v}", "{} % 2 = 0", "{} IS DISTINCT FROM {n}",
        "coalesce({}, 0) > 1", "({} > {v} OR {n} = 1)", "{} + {n} > 2", "{} * 2 > {n}", "{} IS NOT DISTINCT FROM {v}",
        "NOT ({} > {v} AND {n} < 2)", "{} IN ({v}, NULL)", "{} NOT IN ({v}, NULL)", "{v} < {}", "{} = {n}",
    ),
    "float": ("{} > 1", "{} IS NOT NULL", "{} = 1.5"),
    "text": (
        "{} = {v}", "{} <> {v}", "{} LIKE '%a%'", "{} IS NULL", "{} > {v}", "{} NOT LIKE 'a%'", "{} IN ({v}, {v})",
        "length({}) > 1", "{} IS DISTINCT FROM {t}", "{} < {t}", "{} LIKE {t}", "{} ILIKE 'A_'", "upper({}) = {v}",
        "{} BETWEEN {v} AND {v}", "coalesce({}, 'a') <= {v}",
    ),
    "bool": ("{}", "NOT {}", "{} IS NOT TRUE", "{} IS NULL", "{} = false", "({} OR {n} > 1)"),
    "date": ("{} > {v}", "{} = {v}", "year({}) = 2013", "{} IS NULL", "{} IN ({v}, {v})", "{} - DATE '2013-01-01' > 1",
             "{} BETWEEN {v} AND {v}", "{} <> {v}"),
    "moment": ("{} > {v}", "{} = {v}", "hour({}) < 6", "{} IS NULL", "{} <= {v}", "{} >= DATE '2013-01-01'"),
    "zoned": ("{} > {v}", "{} IS NULL", "{} = {v}"),
    "opaque": ("{} IS NULL", "{} IS NOT NULL"),
}  # fmt: skip
_AGGREGATES: dict[str, Sequence[str]] = {
    "number": (
        "sum({})", "min({})", "max({})", "count({})", "avg({})", "count(DISTINCT {})", "sum({}) FILTER (WHERE {n} > 1)",
        "sum(DISTINCT {})", "avg(DISTINCT {})", "max({}) - min({})", "sum({} % 7 * 2)", "coalesce(sum({}), 0)",
        "min({}) FILTER (WHERE {} > 1)",
    ),
    "float": ("count({})", "min({})", "max({})"),
    "text": (
        "min({})", "max({})", "count({})", "count(DISTINCT {})", "max(upper({}))", "min({}) FILTER (WHERE {} > 'a')",
    ),
    "bool": ("count({})", "min({})", "max({})", "count(*) FILTER (WHERE {})", "count(DISTINCT {})"),
    "date": ("min({})", "max({})", "count({})", "count(DISTINCT {})", "max({}) FILTER (WHERE {} > DATE '2013-01-01')"),
    "moment": ("min({})", "max({})", "count({})", "count(DISTINCT {})"),
    "zoned": ("count({})", "min({})", "max({})"),
    "opaque": ("count({})",),
}  # fmt: skip


class Terms:
    """`columns`: the text that a column is written as → (its table, its name there)."""

    def __init__(self, draws: Draws, columns: Mapping[str, tuple[Table, str]]) -> None:
        self._draws = draws
        self._columns = columns
        self._hits = {table.name: draws.choice(table.rows) for table, _ in columns.values() if table.rows}
        self._families = {text: family(table.columns[name]) for text, (table, name) in columns.items()}

    def value(self) -> str:
        return self._made(_VALUES)

    def ordered(self) -> str:
        """A value that has an order."""
        return self._made(_VALUES, but=("opaque",))

    def condition(self) -> str:
        return self._made(_CONDITIONS)

    def aggregate(self) -> str:
        return "count(*)" if self._draws.chance(15) else self._made(_AGGREGATES)

    def values(self, counts: Sequence[int]) -> list[str]:
        return list(dict.fromkeys(self.value() for _ in range(self._draws.choice(counts))))

    def written(self, table: Table, column: str) -> str:
        """The text for a column: of the first source that is this table."""
        return next(text for text, at in self._columns.items() if at == (table, column))

    def constant(self, column: str, *, hit: bool = True) -> str:
        """A value that the column may have, never NULL; mostly of one row, so that conditions meet."""
        table, name = self._columns[column]
        if hit and table.rows and self._draws.below(100) < 80:
            text = self._hits[table.name][list(table.columns).index(name)]
            if text != "NULL":
                return text
        return self._draws.choice([text for text in table.pools[name] if text != "NULL"])

    def _made(self, of: Mapping[str, Sequence[str]], but: Sequence[str] = ()) -> str:
        column = self._draws.choice([text for text, found in self._families.items() if found not in but])
        template = self._draws.choice(of[self._families[column]])
        text = template.replace("{}", column)
        while "{v}" in text:
            text = text.replace("{v}", self.constant(column), 1)
        text = text.replace("{n}", self._another("number", "2") if "{n}" in text else "")
        return text.replace("{t}", self._another("text", "'b'") if "{t}" in text else "")

    def _another(self, wanted: str, otherwise: str) -> str:
        return self._draws.choice([otherwise, *(text for text, found in self._families.items() if found == wanted)])
