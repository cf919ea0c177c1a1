"""Where a query's rows are, as the Python text that makes `found`, the chunks to read.

Rule: text in, text out. Keys are encoded by `key_<kind>`; NULL is equal to nothing, so that a
NULL among the values sought leads to no row.
"""

from collections.abc import Callable

from engine.queries.access import MEMBERS_MAX
from engine.queries.expression import Argument, Expression
from engine.queries.query import Bound, Seek

LINE_MAX = 96  # where it stands, behind an indent
Value = Callable[[Expression], str]


def seek_lines(seek: Seek, value: Value, *, pages: bool, ordered: bool) -> list[str]:
    """`value` gives an expression's text; with `pages` rows go on behind the key `after`, when it is not None.

    `ordered`: rows are answered as they are found and have an order to keep.
    """
    single = [_single(seek, position, value) for position in range(len(seek.equals))]
    begun = single.index(None) if None in single else len(single)
    first = [text for text in single[:begun] if text is not None]
    lines = _joined("prefixes = [", first or ['b""'], "]")
    manifold = 0
    for position, (column, values) in list(enumerate(zip(seek.columns, seek.equals, strict=False)))[begun:]:
        key = f"{_mark(seek, position)}key_{column.kind}(value)"
        lines.append(f"values = {_members(values, value)}")
        manifold += _is_list(values) or len(values) > 1
        if manifold > 1 and (_is_list(values) or len(values) > 1):
            lines += [f"if len(prefixes) * len(values) > {MEMBERS_MAX}:", "    raise too_many_members()"]
        lines.append(f"prefixes = [prefix + {key} for prefix in prefixes for value in values]")
    if seek.is_whole_key:
        if pages:
            lines += ["if after is not None:", "    prefixes = behind(prefixes, after)"]
        return [*lines, "found = scan.points(prefixes)"]
    low, high, end = "None", "None", 'b""'
    if seek.low is not None or seek.high is not None:
        position = len(seek.equals)
        kind, mark = seek.columns[position].kind, _mark(seek, position)
        low = _bound(lines, "low", seek.low, kind, mark, value)
        high = _bound(lines, "high", seek.high, kind, mark, value)
        if mark:  # NULLs are last, and in no range
            low = '(b"\\1", True)' if seek.low is None else low
            end = 'b"\\2"'
    reverse = ", reverse=True" if seek.reverse else ""
    lines.append(f"ranges = [key_range(prefix, {low}, {high}, {end}) for prefix in prefixes]")
    if pages:
        lines += ["if after is not None:", f"    ranges = cut(ranges, after{reverse})"]
    asked = f"{reverse}{', ordered=True' if ordered else ''}"
    return [*lines, f"found = scan.ranges(ranges{asked})"]


def _single(seek: Seek, position: int, value: Value) -> str | None:
    """The key of a column that has one value, which is not NULL."""
    values = seek.equals[position]
    if len(values) > 1 or values[0].nullable or _is_list(values):
        return None
    return f"{_mark(seek, position)}key_{seek.columns[position].kind}({value(values[0])})"


def _joined(start: str, parts: list[str], end: str) -> list[str]:
    """A sum, on one line where that is short."""
    line = f"{start}{' + '.join(parts)}{end}"
    if len(line) <= LINE_MAX:
        return [line]
    return [start, *(f"    {part}{' +' * (number < len(parts))}" for number, part in enumerate(parts, 1)), end]


def _mark(seek: Seek, position: int) -> str:
    """Columns of an index say first that they are not NULL; those of the key behind them do not."""
    return 'b"\\1" + ' if position < seek.nullable else ""


def _is_list(values: tuple[Expression, ...]) -> bool:
    return len(values) == 1 and isinstance(values[0], Argument) and values[0].type.endswith("[]")


def _members(values: tuple[Expression, ...], value: Value) -> str:
    """The distinct values, in order, that a column may have; NULL matches nothing."""
    if _is_list(values):
        return f"sorted(set({value(values[0])}))"
    if len(values) == 1 and not values[0].nullable:
        return f"({value(values[0])},)"
    listed = ", ".join(value(item) for item in values)
    return f"sorted({{{listed}}} - {{None}})"


def _bound(lines: list[str], name: str, bound: Bound | None, kind: str, mark: str, value: Value) -> str:
    if bound is None:
        return "None"
    lines.append(f"{name} = {value(bound.value)}")
    if bound.value.nullable:
        lines += [f"if {name} is None:", "    prefixes = []"]
    return f"({mark}key_{kind}({name}), {bound.inclusive})"
