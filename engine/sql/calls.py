"""The functions a service's SQL may call: which arguments they take and what they give.

Rule: a table. Each function is found by its syntax, has one or more forms, and the first
form whose families fit is taken; an argument of another type is cast to the form's where
DuckDB does so as well.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlglot import exp

from engine.queries.functions import CLOCK_UNITS, DATE_UNITS, PARTS
from engine.sqltype import decimal, family, rounded, width_and_scale

_TEXT, _NUMBER, _DOUBLE, _WHOLE, _DAY = "VARCHAR", "number", "DOUBLE", "BIGINT", "date"


class Form(NamedTuple):
    """`takes` families or types; `gives` a type, or a function of the first argument's type."""

    function: str
    takes: tuple[str, ...]
    gives: str | Callable[[str], str]


class Signature(NamedTuple):
    """A call as it stands: its argument nodes and the forms it may have."""

    args: tuple[exp.Expression, ...]
    forms: tuple[Form, ...]
    constants: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The type that a parameter standing there has."""
        types = {_NUMBER: "DOUBLE", _DAY: "DATE", "int": "BIGINT", "decimal": "DOUBLE", "double": "DOUBLE"}
        return tuple(types.get(kind, kind) for kind in self.forms[0].takes)

    @property
    def advice(self) -> str:
        forms = [f"({', '.join(form.takes[: len(self.args)])})" for form in self.forms]
        return f"it takes {' or '.join(forms)}"

    def choose(self, types: Sequence[str]) -> tuple[str | None, str, tuple[str | None, ...]]:
        """(function or None, result type, the type each argument is to be cast to or None)."""
        for form in self.forms:
            if len(types) > len(form.takes):
                continue
            casts = [_fits(kind, wanted) for kind, wanted in zip(types, form.takes, strict=False)]
            if all(fits for fits, _ in casts):
                gives = form.gives if isinstance(form.gives, str) else form.gives(types[0] if types else "")
                return form.function, gives, tuple(target for _, target in casts)
        return None, "", ()


def _fits(kind: str, wanted: str) -> tuple[bool, str | None]:
    """(whether it may stand there, the type to cast it to)."""
    found = family(kind)
    if kind == wanted or wanted == found:
        return True, None
    if kind == "NULL":
        return True, {_NUMBER: "DOUBLE", _DAY: "DATE", "int": "BIGINT", "decimal": "DECIMAL(18,3)"}.get(wanted, wanted)
    if wanted == _DAY:
        return found in ("date", "moment"), None
    if wanted == _DOUBLE:
        return found in ("int", "decimal", "double", "float"), "DOUBLE"
    if wanted == _WHOLE:
        return found == "int", "BIGINT"
    return False, None


def _same(kind: str) -> str:
    return kind


def _whole_decimal(kind: str) -> str:
    return decimal(width_and_scale(kind)[0], 0)


def _truncated(kind: str) -> str:
    return "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMP WITH TIME ZONE" else "TIMESTAMP"


def _text(function: str, *more: str, gives: str = _TEXT) -> tuple[Form, ...]:
    return (Form(function, (_TEXT, *more), gives),)


_TO_WHOLE = {
    name: (Form(f"{name}_decimal", ("decimal",), _whole_decimal), Form(f"{name}_double", ("float",), _same),
           Form(f"{name}_double", (_DOUBLE,), _DOUBLE))
    for name in ("floor", "ceil", "trunc")
}  # fmt: skip
_ONE: dict[type[exp.Expression], tuple[Form, ...]] = {
    exp.Abs: (Form("abs", ("int",), _same), Form("abs_decimal", ("decimal",), _same), Form("abs", ("float",), _same),
              Form("abs", (_DOUBLE,), _DOUBLE)),
    exp.Sign: (Form("sign", ("int",), "TINYINT"), Form("sign", ("decimal",), "TINYINT"),
               Form("sign", (_DOUBLE,), "TINYINT")),
    exp.Floor: _TO_WHOLE["floor"],
    exp.Ceil: _TO_WHOLE["ceil"],
    exp.Sqrt: (Form("sqrt", (_DOUBLE,), _DOUBLE),),
    exp.Exp: (Form("exp", (_DOUBLE,), _DOUBLE),),
    exp.Ln: (Form("ln", (_DOUBLE,), _DOUBLE),),
    exp.Length: _text("length", gives="BIGINT"),
    exp.Upper: _text("upper"),
    exp.Lower: _text("lower"),
    exp.Reverse: _text("reverse"),
    exp.Dayname: (Form("dayname", (_DAY,), _TEXT),),
    exp.Monthname: (Form("monthname", (_DAY,), _TEXT),),
}  # fmt: skip
_TWO: dict[type[exp.Expression], tuple[Form, ...]] = {
    exp.Left: _text("left", _WHOLE),
    exp.Right: _text("right", _WHOLE),
    exp.StartsWith: _text("starts_with", _TEXT, gives="BOOLEAN"),
    exp.EndsWith: _text("ends_with", _TEXT, gives="BOOLEAN"),
    exp.Contains: _text("contains", _TEXT, gives="BOOLEAN"),
    exp.Pow: (Form("power", (_DOUBLE, _DOUBLE), _DOUBLE),),
}
_PART_NODES: dict[type[exp.Expression], str] = {
    exp.Year: "year",
    exp.Quarter: "quarter",
    exp.Month: "month",
    exp.Week: "week",
    exp.WeekOfYear: "week",
    exp.Day: "day",
    exp.DayOfMonth: "day",
    exp.DayOfWeek: "dow",
    exp.DayOfWeekIso: "isodow",
    exp.DayOfYear: "doy",
    exp.Hour: "hour",
    exp.Minute: "minute",
    exp.Second: "second",
}
_PART_NAMES = {"dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "dayofmonth": "day"}


def find(node: exp.Expression) -> Signature | None:
    """The call that a node is; None when the function is not known."""
    kind = type(node)
    if kind in _ONE:
        return Signature((node.this,), _ONE[kind])
    if kind in _TWO:
        return Signature((node.this, node.expression), _TWO[kind])
    if kind in _PART_NODES:
        return _part(_PART_NODES[kind], node.this)
    for wanted, found in _OTHERS:
        if kind is wanted:
            return found(node)
    return None


def _part(name: str, of: exp.Expression) -> Signature | None:
    name = _PART_NAMES.get(name, name)
    return Signature((of,), (Form(f"part_{name}", (_DAY,), "BIGINT"),)) if name in PARTS else None


def _trim(node: exp.Expression) -> Signature:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    letters = node.args.get("expression")
    args = (node.this,) if letters is None else (node.this, letters)
    return Signature(args, _text(name, _TEXT))


def _replace(node: exp.Expression) -> Signature:
    return Signature((node.this, node.expression, node.args["replacement"]), _text("replace", _TEXT, _TEXT))


def _substring(node: exp.Expression) -> Signature:
    parts = [node.this, node.args.get("start"), node.args.get("length")]
    return Signature(tuple(part for part in parts if part is not None), _text("substr", _WHOLE, _WHOLE))


def _position(node: exp.Expression) -> Signature:
    return Signature((node.this, node.args["substr"]), _text("strpos", _TEXT, gives="BIGINT"))


def _round(node: exp.Expression) -> Signature | None:
    digits = node.args.get("decimals")
    if digits is None:
        forms = (Form("identity", ("int",), rounded), Form("round_decimal_whole", ("decimal",), _whole_decimal),
                 Form("round_double", ("float",), _same), Form("round_double", (_DOUBLE,), _DOUBLE))  # fmt: skip
        return Signature((node.this,), forms)
    if isinstance(digits, exp.Literal) and str(digits.this).isdigit():
        count = int(str(digits.this))
        return Signature((node.this, digits), (Form("identity", ("int", "int"), rounded),
                                               Form("round_decimal", ("decimal", "int"), _rounded(count)),
                                               Form("round_single", ("float", "int"), _same),
                                               Form("round_double", (_DOUBLE, "int"), _DOUBLE)))  # fmt: skip
    return None


def _rounded(digits: int) -> Callable[[str], str]:
    """DECIMAL(w,s) → DECIMAL(w,min(s, digits))."""

    def gives(kind: str) -> str:
        width, scale = width_and_scale(kind)
        return decimal(width, min(scale, digits))

    return gives


def _log(node: exp.Expression) -> Signature | None:
    base = node.args.get("expression")
    if base is None:
        return Signature((node.this,), (Form("log10", (_DOUBLE,), _DOUBLE),))
    if isinstance(node.this, exp.Literal) and str(node.this.this) == "10":
        return Signature((base,), (Form("log10", (_DOUBLE,), _DOUBLE),))
    return None


def _extract(node: exp.Expression) -> Signature | None:
    return _part(str(node.this.name).lower(), node.expression)


def _anonymous(node: exp.Expression) -> Signature | None:
    name, args = node.name.lower(), tuple(node.expressions)
    if name in ("date_part", "datepart") and len(args) == 2 and isinstance(args[0], exp.Literal):
        return _part(str(args[0].this).lower(), args[1])
    if name in ("prefix", "suffix") and len(args) == 2:
        return Signature(args, _text("starts_with" if name == "prefix" else "ends_with", _TEXT, gives="BOOLEAN"))
    return None


def _trunc_date(node: exp.Expression) -> Signature | None:
    unit = str(node.args["unit"].name).lower()
    if unit not in (*DATE_UNITS, *CLOCK_UNITS):
        return None
    return Signature((node.this,), (Form("date_trunc", (_DAY,), _truncated),), (unit,))


def _trunc(node: exp.Expression) -> Signature | None:
    if node.args.get("decimals") is not None:
        return None
    return Signature((node.this,), (Form("identity", ("int",), _same), *_TO_WHOLE["trunc"]))


_OTHERS: tuple[tuple[type[exp.Expression], Callable[[exp.Expression], Signature | None]], ...] = (
    (exp.Trim, _trim),
    (exp.Replace, _replace),
    (exp.Substring, _substring),
    (exp.StrPosition, _position),
    (exp.Round, _round),
    (exp.Trunc, _trunc),
    (exp.Log, _log),
    (exp.Extract, _extract),
    (exp.Anonymous, _anonymous),
    (exp.TimestampTrunc, _trunc_date),
    (exp.DateTrunc, _trunc_date),
)
