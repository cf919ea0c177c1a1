"""Random queries over random tables, all inside the language.

Rule: the first condition is one that the key or an index answers; whatever else there is,
there is of it none when it is shrunk.
"""

from collections.abc import Mapping, Sequence

import msgspec

from tests.engine.draws import Draws
from tests.engine.tables import Table
from tests.engine.terms import Terms

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "UINTEGER")
_JOINS = (0, 0, 0, 1, 1, 2)
_SIZES = (1, 2, 3, 10, 1000, 3, 2, 10, 0)


class Asked(msgspec.Struct, frozen=True):
    """A query in parts. `ordered`: its rows have an order that leaves nothing open."""

    select: str
    order: str = ""
    limit: str = ""
    ordered: bool = False
    grouped: bool = False

    @property
    def text(self) -> str:
        return f"{self.select}{self.order}{self.limit}"


class Maker:
    """Queries over the first table, which may look up rows of any."""

    def __init__(self, draws: Draws, *tables: Table, lookups_in_itself: bool = True) -> None:
        self._draws = draws
        self._main = tables[0]
        self._joinable = tables[1:] + tables[:1] * lookups_in_itself

    def query(self) -> Asked:
        """One whose answer the oracle can tell."""
        asked = self.unlimited()
        if asked.ordered and self._draws.chance(60):
            offset = f" OFFSET {self._draws.choice((1, 0, 2, 5, 1, 2, 50))}" if self._draws.chance(30) else ""
            asked = msgspec.structs.replace(asked, limit=f" LIMIT {self._draws.choice(_SIZES)}{offset}")
        return asked

    def unlimited(self) -> Asked:
        draws = self._draws
        columns, source = self._sources()
        terms = Terms(draws, columns)
        conditions = self._sought(terms) + [terms.condition() for _ in range(draws.choice((0, 0, 0, 1, 2)))]
        for _ in conditions[1:]:  # in any order
            conditions.append(conditions.pop(draws.below(len(conditions) - 1)))
        tail = f" FROM {source} WHERE {' AND '.join(conditions)}"
        form = draws.below(20)
        if form < 10:
            return self._rows(terms, tail)
        if form < 12:
            select = f"SELECT DISTINCT {_named('v', [terms.ordered() for _ in range(draws.choice((1, 2)))])}{tail}"
            return Asked(select, *self._by(select, "v"), grouped=True)
        return self._groups(terms, tail)

    # -- FROM --------------------------------------------------------------------------

    def _sources(self) -> tuple[dict[str, tuple[Table, str]], str]:
        """Columns as they are written, and FROM."""
        joined = [self._draws.choice(self._joinable) for _ in range(self._draws.choice(_JOINS))]
        prefix = f"{self._main.name}." if self._main in joined or self._draws.chance(15) else ""
        columns = {f"{prefix}{name}": (self._main, name) for name in self._main.columns}
        source = self._main.name
        for number, table in enumerate(joined):
            alias = f"j{number}"
            added = {f"{alias}.{name}": (table, name) for name in table.columns}
            on = [f"{alias}.{name} = {self._matching(table, name, columns)}" for name in table.key]
            kind = self._draws.choice(("LEFT JOIN", "LEFT JOIN", "JOIN"))
            if kind == "JOIN" and self._draws.chance(30):
                on.append(Terms(self._draws, added).condition())
            source += f" {kind} {table.name} AS {alias} ON {' AND '.join(on)}"
            columns |= added
        return columns, source

    def _matching(self, table: Table, key: str, columns: Mapping[str, tuple[Table, str]]) -> str:
        kind = table.columns[key]
        kinds = _INTEGERS if kind in _INTEGERS else (kind,)
        found = [text for text, (owner, name) in columns.items() if owner.columns[name] in kinds]
        if found and not self._draws.chance(5):
            return self._draws.choice(found)
        return Terms(self._draws, {key: (table, key)}).constant(key)

    # -- WHERE -------------------------------------------------------------------------

    def _sought(self, terms: Terms) -> list[str]:
        """Conditions that the key or an index answers."""
        draws, main = self._draws, self._main
        way = draws.choice([main.key, *(columns + main.key for columns in main.indexes.values())])
        fixed = draws.below(draws.between(1, len(way) + 1))
        found = []
        for column in dict.fromkeys(way[:fixed]):
            found.append(self._fixed(terms, column))
        rest = [column for column in way[fixed:] if column not in way[:fixed]]
        if rest and (not found or draws.chance(50)):
            found += self._bounded(terms, rest[0])
        return found

    def _fixed(self, terms: Terms, column: str) -> str:
        draws, text = self._draws, terms.written(self._main, column)
        value = terms.constant(text)
        if draws.chance(35):
            more = ", ".join(self._or_null(terms, text) for _ in range(draws.choice((1, 2, 3))))
            return f"{text} IN ({value}, {more})"
        return f"{value} = {text}" if draws.chance(15) else f"{text} = {value}"

    def _or_null(self, terms: Terms, text: str) -> str:
        return "NULL" if self._draws.chance(8) else terms.constant(text)

    def _bounded(self, terms: Terms, column: str) -> list[str]:
        draws, text = self._draws, terms.written(self._main, column)
        form = draws.choice(("{} >= {v}", "{} > {v}", "{} < {v}", "{} <= {v}", "{} BETWEEN {v} AND {v}", "{v} < {}",
                             "{} >= {v}|{} <= {w}", "{} >= {v}|{} < {w}", "{} > {w}|{} > {w}"))  # fmt: skip
        while "{v}" in form:
            form = form.replace("{v}", terms.constant(text), 1)
        while "{w}" in form:
            form = form.replace("{w}", terms.constant(text, hit=False), 1)
        return form.replace("{}", text).split("|")

    # -- SELECT … ----------------------------------------------------------------------

    def _rows(self, terms: Terms, tail: str) -> Asked:
        draws = self._draws
        values = terms.values((1, 2, 3, 5))
        select = f"SELECT {_named('v', values)}{tail}"
        if draws.chance(30):
            return Asked(select)
        keys = [terms.written(self._main, name) for name in self._main.key]
        if draws.chance(40):  # as an index has it
            way = draws.choice([self._main.key, *self._main.indexes.values()])
            direction, nulls = draws.choice((("", " NULLS LAST"), (" DESC", " NULLS FIRST"), ("", " NULLS FIRST")))
            ways = list(dict.fromkeys([*(terms.written(self._main, name) for name in way), *keys]))
            ways = ways[draws.below(len(ways)) :]
            items = [f"{text}{direction}{nulls}" for text in dict.fromkeys([*ways, *keys])]
        else:
            wanted = [terms.ordered() for _ in range(draws.choice((0, 1, 2)))]
            items = [f"{item}{self._direction()}" for item in [*(f"({value})" for value in wanted), *keys]]
        return Asked(select, f" ORDER BY {', '.join(items)}", ordered=True)

    def _direction(self) -> str:
        return self._draws.choice(("", " DESC", " ASC")) + self._draws.choice(("", " NULLS FIRST", " NULLS LAST"))

    def _groups(self, terms: Terms, tail: str) -> Asked:
        draws = self._draws
        groups = list(dict.fromkeys(terms.ordered() for _ in range(draws.choice((0, 1, 1, 2)))))
        aggregates = list(dict.fromkeys(terms.aggregate() for _ in range(draws.choice((1, 2, 3)))))
        named = [_named("g", groups), _named("a", aggregates)]
        select = f"SELECT {', '.join(part for part in named if part)}{tail}"
        if not groups:
            return Asked(select, grouped=True)
        numbers = ", ".join(str(number + 1) for number in range(len(groups)))
        select += f" GROUP BY {draws.choice((numbers, 'ALL', ', '.join(f'({group})' for group in groups)))}"
        if draws.chance(30):
            select += f" HAVING {draws.choice(('count(*) > 1', 'a0 IS NOT NULL', 'count(*) % 2 = 1'))}".replace(
                "a0", aggregates[0]
            )
        if draws.chance(40):
            return Asked(select, grouped=True)
        order = ", ".join(f"g{number}{self._direction()}" for number in range(len(groups)))
        return Asked(select, f" ORDER BY {order}", ordered=True, grouped=True)

    def _by(self, select: str, prefix: str) -> tuple[str, str, bool]:
        """(ORDER BY, LIMIT, whether it is ordered) of all that is answered."""
        if self._draws.chance(50):
            return "", "", False
        count = select.count(f" AS {prefix}")
        order = ", ".join(f"{prefix}{number}{self._direction()}" for number in range(count))
        return f" ORDER BY {order}", "", True


def _named(prefix: str, values: Sequence[str]) -> str:
    return ", ".join(f"{value} AS {prefix}{number}" for number, value in enumerate(values))
