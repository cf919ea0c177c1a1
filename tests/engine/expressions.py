"""Random expressions and conditions inside the language.

Rule: everything is drawn from one `random.Random`, hypothesis's or another.
"""

import random

NUMBERS = ("i8", "i16", "i32", "i64", "u8", "u64", "d", "dec", "wide")
_LITERALS = ("0", "1", "2", "-3", "7", "100", "1.5", "0.25", "2.0", "1e2", "-0.5")
_OF_NUMBER = (
    "abs({})", "sign({})", "floor({})", "ceil({})", "trunc({})", "round({})", "round({}, 1)", "-({})", "sqrt(abs({}))",
    "greatest({}, 1)", "least({}, i16)", "nullif({}, 1)", "CAST({} AS BIGINT)", "CAST({} AS INTEGER)",
    "CAST({} AS DOUBLE)", "exp({} / 1e6)", "ln(abs({}) + 1)", "pow({}, 2)", "length(s) + {}", "round({}, 2)",
    "round({} / 7, 3)", "round({} * 5e-1, 2)", "log10(abs({}) + 1)", "CAST({} AS SMALLINT)", "CAST({} AS HUGEINT)",
    "greatest(d, {}, dec)", "if(b, {}, NULL)", "CASE i8 WHEN {} THEN 1 WHEN 1 THEN 2 END", "CAST(b AS INTEGER) + {}",
    "length(CAST({} AS VARCHAR))",
)  # fmt: skip
_OF_DATE = (
    "year(dt)", "month(dt)", "dayofweek(dt)", "week(dt)", "quarter(ts)", "extract(hour FROM ts)",
    "date_part('doy', dt)", "dt - DATE '2013-06-01'", "minute(ts)", "second(ts)", "strpos(s, 'b')", "isodow(dt)",
)  # fmt: skip
_OF_TEXT = (
    "upper({})", "lower({})", "trim({})", "ltrim({})", "rtrim({}, 'x ')", "reverse({})", "substr({}, 2)",
    "substr({}, 1, 2)", "substr({}, -2, 1)", "substr({}, 0, 2)", "left({}, 2)", "right({}, 2)", "left({}, -1)",
    "right({}, -1)", "replace({}, 'a', 'xy')", "concat({}, i32)", "coalesce({}, 'n')", "CAST(i32 AS VARCHAR) || {}",
    "CAST(dec AS VARCHAR) || {}", "CAST(dt AS VARCHAR) || {}", "CAST(ts AS VARCHAR) || {}", "CAST(b AS VARCHAR) || {}",
    "CAST(d AS VARCHAR) || {}", "dayname(dt) || {}", "if(b, {}, 'q')",
    "monthname(ts) || {}", "substr({}, i8)", "substr({}, i8, 2)", "left({}, i8)", "right({}, i8)", "replace({}, s2, s)",
    "replace({}, 'b', s2)", "trim({}, s2)", "greatest({}, s2)", "least({}, s, 'b')", "nullif({}, s2)",
    "CAST(wide AS VARCHAR) || {}", "concat(u64, {}, NULL, b, i64 * 3)", "CASE WHEN b THEN {} WHEN b2 THEN s END",
)  # fmt: skip
_CONDITIONS = (
    "f > 1", "f = 0.5", "abs(f) < 2", "floor(f) = round(f)", "round(f, 1) = f",
    "dt IN ('2013-01-01', DATE '2013-12-31')", "greatest(dt, ts) = ts", "nullif(dt, ts) IS NULL",
    "CASE s WHEN s2 THEN b ELSE b2 END", "ts BETWEEN dt AND dt + 1", "date_trunc('hour', ts) = ts",
    "CAST(ts AS DATE) = dt", "date_trunc('week', ts) < dt", "s IN (s2, 'a', NULL)",
    "s IS DISTINCT FROM s2", "s BETWEEN 'a' AND s2", "ends_with(s, s2)", "f IS DISTINCT FROM 1.5",
    "dt > '2013-01-01'", "ts >= dt", "dt = DATE '2013-12-31'", "dt + 1 > DATE '2013-01-01'", "starts_with(s, 'a')",
    "contains(s, 'b')", "date_trunc('month', dt) = dt", "b = b2", "b IS TRUE", "b2 IS NOT FALSE",
)  # fmt: skip


class Maker:
    """Expressions over the columns of `tests.engine.queries.test_scalar_oracle`."""

    def __init__(self, source: random.Random) -> None:
        self.random = source

    def any(self, depth: int) -> str:
        return self.random.choice((self.number, self.truth, self.text))(depth)

    def number(self, depth: int) -> str:
        draw = self.random.random()
        if depth <= 0 or draw < 0.25:
            return self.random.choice(NUMBERS)
        inner = depth - 1
        if draw < 0.4:
            return self.random.choice(_LITERALS)
        if draw < 0.7:
            return f"({self.number(inner)} {self.random.choice('+-*/%')} {self.number(inner)})"
        if draw < 0.73:
            return f"({self.random.choice(NUMBERS[:6])} // {self.random.choice(('2', '3', '-2', 'i8'))})"
        if draw < 0.8:
            return f"CASE WHEN {self.truth(inner)} THEN {self.number(inner)} ELSE {self.number(inner)} END"
        if draw < 0.85:
            return f"coalesce({self.number(inner)}, {self.number(inner)})"
        if draw < 0.97:
            return self.random.choice(_OF_NUMBER).format(self.number(inner))
        return f"({self.random.choice(_OF_DATE)})"

    def text(self, depth: int) -> str:
        draw = self.random.random()
        if depth <= 0 or draw < 0.4:
            return self.random.choice(("s", "s2", "'a'", "'abc'", "''"))
        if draw < 0.6:
            return f"({self.text(depth - 1)} || {self.text(depth - 1)})"
        return self.random.choice(_OF_TEXT).format(self.text(depth - 1))

    def truth(self, depth: int) -> str:
        draw = self.random.random()
        choice = self.random.choice
        if depth <= 0 or draw < 0.1:
            return choice(("b", "b2", "true", "false"))
        inner = depth - 1
        if draw < 0.35:
            return f"({self.number(inner)} {choice(('=', '<>', '<', '<=', '>', '>='))} {self.number(inner)})"
        if draw < 0.5:
            return f"({self.truth(inner)} {choice(('AND', 'OR'))} {self.truth(inner)})"
        if draw < 0.58:
            return f"(NOT {self.truth(inner)})"
        if draw < 0.66:
            return f"({self.text(inner)} {choice(('=', '<', '>', '<>'))} {self.text(inner)})"
        if draw < 0.72:
            pattern = choice(("s2", "'a%'", "'%b_'", "'a%c'"))
            return f"({self.text(inner)} {choice(('LIKE', 'NOT LIKE', 'ILIKE'))} {pattern})"
        if draw < 0.8:
            return f"({self.any(inner)} IS {choice(('NULL', 'NOT NULL'))})"
        if draw < 0.86:
            return f"({choice(NUMBERS)} {choice(('IN', 'NOT IN'))} ({choice(('1, 2, 7', '1, NULL', '0', 'i16, 1'))}))"
        if draw < 0.9:
            return f"({self.number(inner)} {choice(('', 'NOT '))}BETWEEN {self.number(0)} AND {self.number(0)})"
        if draw < 0.94:
            return f"({self.number(0)} IS {choice(('', 'NOT '))}DISTINCT FROM {self.number(0)})"
        if draw < 0.97:
            return f"({choice(_CONDITIONS)})"
        return f"coalesce({self.truth(inner)}, {self.truth(inner)})"
