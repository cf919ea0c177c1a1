"""Two tables and random queries over them, from a seed.

The tables are small in values and full of NULLs, so that keys collide, ranges end inside and
joins miss.
"""

import random

MAIN = """
SELECT * EXCLUDE (r) FROM (
    SELECT ['a', 'b', 'c', 'aa', '', 'z%'][1 + (random() * 6)::INT % 6] AS k1,
        (random() * 8)::INTEGER - 2 AS k2,
        DATE '2013-01-01' + ((random() * 5)::INTEGER) AS k3,
        CASE WHEN random() < .2 THEN NULL ELSE ['x', 'y', 'zz', '', chr(1)][1 + (random() * 5)::INT % 5] END AS a,
        CASE WHEN random() < .2 THEN NULL ELSE (random() * 6)::SMALLINT - 1 END AS b,
        CASE WHEN random() < .2 THEN NULL ELSE round(random() * 20 - 5, 1) END AS d,
        CASE WHEN random() < .2 THEN NULL ELSE ((random() * 2000 - 500)::INTEGER / 100)::DECIMAL(10, 2) END AS dec,
        CASE WHEN random() < .2 THEN NULL ELSE random() < .5 END AS f,
        CASE WHEN random() < .1 THEN NULL ELSE TIMESTAMP '2013-01-01 00:00:00'
            + to_seconds((random() * 1000000)::INTEGER) END AS ts,
        CASE WHEN random() < .1 THEN NULL ELSE ['p', 'q', 'r', 's'][1 + (random() * 4)::INT % 4] END AS j,
        random() AS r
    FROM range(900))
QUALIFY row_number() OVER (PARTITION BY k1, k2, k3) = 1
"""
OTHER = """
SELECT unnest(['p', 'q', 'r']) AS id, unnest([1, 2, NULL])::INTEGER AS n, unnest(['one', NULL, 'three']) AS name
"""
KEY = ("k1", "k2", "k3")
INDEXES = {"by_ab": ("a", "b"), "by_ts": ("ts",), "by_f": ("f", "k3")}

_TEXTS = ("'a'", "'b'", "'aa'", "''", "'z%'", "'c'")
_FILTERS = (
    "d > 3", "d < dec", "dec IS NULL", "f", "NOT f", "f IS NOT TRUE", "a LIKE '%z%'", "b % 2 = 0", "coalesce(b, 0) > 1",
    "d IS NOT NULL", "(d > 3 OR b = 1)", "k2 + b > 2", "dec * 2 > d", "year(ts) = 2013", "hour(ts) < 12", "j = 'p'",
    "j <> 'p'", "a IS DISTINCT FROM j", "b NOT IN (1, 2)", "k3 - DATE '2013-01-01' > 1",
)  # fmt: skip
_VALUES = (
    "k1", "k2", "k3", "a", "b", "d", "dec", "f", "ts", "j", "k2 + b", "d * 2", "dec + 1", "upper(a)", "a || j",
    "CASE WHEN b > 1 THEN 'big' WHEN b IS NULL THEN 'none' ELSE 'small' END", "coalesce(a, j)", "k3 + 1",
    "date_trunc('day', ts)", "b / 2", "round(d)", "dec * dec", "-b", "f AND b > 1", "CAST(k2 AS VARCHAR)", "month(k3)",
)  # fmt: skip
_AGGREGATES = (
    "count(*)", "count(a)", "sum(b)", "sum(d)", "sum(dec)", "avg(b)", "avg(d)", "avg(dec)", "min(a)", "max(ts)",
    "min(k3)", "max(dec)", "count(DISTINCT a)", "sum(b) FILTER (WHERE f)", "count(*) FILTER (WHERE d > 3)", "min(d)",
    "max(f)", "sum(k2 * 2)", "sum(DISTINCT b)", "max(k2) - min(k2)", "avg(DISTINCT b)",
)  # fmt: skip
_JOINS = ("m LEFT JOIN o ON o.id = m.j", "m JOIN o ON m.j = o.id", "m LEFT JOIN o ON m.j = id")
_JOINED_VALUES = ("o.n", "o.name", "n + k2", "coalesce(name, '?')")
_JOINED_FILTERS = ("n > 1", "name IS NULL", "o.n IS NOT NULL", "name = 'one'")


class Maker:
    """`query()` → (text, whether its rows have an order that leaves nothing open)."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def query(self) -> tuple[str, bool]:
        draw = self.random
        values, conditions, source = list(_VALUES), self._sought() + self._some(_FILTERS, (0, 0, 1, 2)), "m"
        if draw.random() < 0.3:
            source = draw.choice(_JOINS)
            values += _JOINED_VALUES
            conditions += self._some(_JOINED_FILTERS, (0, 0, 1))
        tail = f"FROM {source} WHERE {' AND '.join(conditions)}"
        form = draw.random()
        if form < 0.5:
            return self._rows(values, tail)
        if form < 0.6:
            return f"SELECT DISTINCT {self._named('v', self._some(values, (1, 2)))} {tail}", False
        return self._groups(values, tail)

    def _some(self, of: "list[str] | tuple[str, ...]", counts: tuple[int, ...]) -> list[str]:
        return self.random.sample(of, self.random.choice(counts))

    def _named(self, prefix: str, values: list[str]) -> str:
        return ", ".join(f"{value} AS {prefix}{number}" for number, value in enumerate(values))

    def _sought(self) -> list[str]:
        """Conditions that the key or an index answers, in any order."""
        draw, number = self.random, lambda: self.random.randint(-2, 6)
        text = lambda: self.random.choice(_TEXTS)  # noqa: E731
        way = draw.random()
        if way < 0.55:
            found = [draw.choice((f"k1 = {text()}", f"k1 IN ({text()}, {text()}, {text()})", f"{text()} = k1",
                                  f"k1 >= {text()}", f"k1 < {text()}",
                                  f"k1 BETWEEN {text()} AND {text()}"))]  # fmt: skip
            if draw.random() < 0.7:
                found.append(draw.choice((f"k2 = {number()}", f"k2 IN ({number()}, {number()})", f"k2 > {number()}",
                                          f"k2 <= {number()}", f"k2 BETWEEN {number()} AND {number()}")))  # fmt: skip
            if draw.random() < 0.5:
                found.append(draw.choice(("k3 = '2013-01-03'", "k3 > DATE '2013-01-02'", "k3 <= '2013-01-04'",
                                          "k3 IN (DATE '2013-01-01', DATE '2013-01-05')")))  # fmt: skip
        elif way < 0.8:
            found = [draw.choice(("a = 'x'", "a = 'zz'", "a IN ('x', 'y')", "a = ''", "a > 'x'", "a <= 'y'"))]
            found += self._some(("b = 1", "b > 0", "b < 3", "b IN (1, 2, NULL)", "b BETWEEN 0 AND 3"), (0, 1))
            found += self._some(("k1 = 'a'", "k1 > 'a'", "k1 IN ('a', 'b')"), (0, 0, 1))
        elif way < 0.9:
            found = [draw.choice(("ts > TIMESTAMP '2013-01-05 00:00:00'", "ts <= '2013-01-06 12:00:00'",
                                  "ts BETWEEN '2013-01-03 00:00:00' AND '2013-01-09 00:00:00'"))]  # fmt: skip
        else:
            found = [draw.choice(("f = true", "f = false")),
                     draw.choice(("k3 = '2013-01-02'", "k3 < '2013-01-03'", "b = 1"))]  # fmt: skip
        draw.shuffle(found)
        return found

    def _rows(self, values: list[str], tail: str) -> tuple[str, bool]:
        draw = self.random
        text = f"SELECT {self._named('v', self._some(values, (1, 2, 3, 5)))} {tail}"
        if draw.random() < 0.3:
            return text, False
        order = [
            item + draw.choice(("", " ASC", " DESC")) + draw.choice(("", " NULLS FIRST", " NULLS LAST"))
            for item in [*self._some(values, (0, 1, 2)), *KEY]
        ]
        if draw.random() < 0.3:
            order = [f"{item} DESC" for item in KEY]
        text += f" ORDER BY {', '.join(order)}"
        if draw.random() < 0.6:
            text += f" LIMIT {draw.choice((0, 1, 3, 10, 1000))}"
            text += draw.choice(("", f" OFFSET {draw.choice((0, 1, 5, 50))}"))
        return text, True

    def _groups(self, values: list[str], tail: str) -> tuple[str, bool]:
        draw = self.random
        groups, aggregates = self._some(values, (0, 1, 1, 2)), self._some(_AGGREGATES, (1, 2, 3, 4))
        named = [self._named("g", groups), self._named("a", aggregates)]
        text = f"SELECT {', '.join(part for part in named if part)} {tail}"
        if not groups:
            return text, False
        numbers = ", ".join(str(number + 1) for number in range(len(groups)))
        text += f" GROUP BY {draw.choice((', '.join(groups), 'ALL', numbers))}"
        if draw.random() < 0.4:
            text += f" HAVING {draw.choice(('count(*) > 2', 'sum(b) > 1', 'min(a) IS NOT NULL', 'avg(d) < 5'))}"
        if draw.random() < 0.5:
            return text, False
        order = ", ".join(f"g{number}{draw.choice(('', ' DESC', ' NULLS FIRST'))}" for number in range(len(groups)))
        return f"{text} ORDER BY {order}{draw.choice(('', ' LIMIT 2', ' LIMIT 5'))}", True
