"""The Python text of groups: what a row adds to its group, and what a group comes to.

Rule: `groups` has a state per group, by its value or a tuple of several; each aggregate has
its slots there, and one that is DISTINCT a set of the values it has met, of all groups. NULLs
are left out before a step is taken. States are no containers to Python's collector, and
groups are let go of in pieces: there may be as many as rows.
"""

from collections.abc import Sequence

from engine.queries.column_code import indented, tuple_of
from engine.queries.expression import Aggregate, Expression
from engine.queries.query import Query
from engine.queries.scalar import Emitter, may_be_nan
from engine.sqltype import family


def begun(query: Query) -> list[str]:
    """Before the first row."""
    return [f"seen_{number} = set()" for number, item in enumerate(query.aggregates) if item.distinct]


def added(query: Query, emitter: Emitter) -> list[str]:
    """What a row does."""
    values = [_alike(value, emitter) for value in query.groups or ()]
    fresh = f"State({_fresh_slots(query.aggregates)})" if query.aggregates else "True"
    lines = [
        f"key = {values[0] if len(values) == 1 else tuple_of(values)}",
        "state = groups.get(key)",
        "if state is None:",
        f"    state = groups[key] = {fresh}",
    ]
    slot, tested = 0, ""
    for number, item in enumerate(query.aggregates):
        test, before, steps = _accumulated(item, number, slot, emitter, grouped=bool(query.groups))
        if before or not test or test != tested:  # else it goes on under the test of the one before
            lines += [*before, f"if {test}:"] if test else before
        lines += indented(1, steps) if test else steps
        slot, tested = slot + _state_size(item), test
    return lines


def results(query: Query, emitter: Emitter, kept: Sequence[str]) -> list[str]:
    """Goes through the groups; `kept` is what is done with one, over its values `g0` … and `a0` …"""
    lines = []
    if not query.groups:
        lines += ["if not groups:", f"    groups[()] = State({_fresh_slots(query.aggregates)})"]
    lines += [f"yield from emptied(seen_{number})" for number, item in enumerate(query.aggregates) if item.distinct]
    inner = ["if not number % 256:", "    yield ()"]
    if len(query.groups or ()) == 1:
        inner.append("g0 = key")
    else:
        inner += [f"g{number} = key[{number}]" for number, _ in enumerate(query.groups or ())]
    slot = 0
    for number, item in enumerate(query.aggregates):
        inner.append(f"a{number} = {_result(item, slot)}")
        slot += _state_size(item)
    if query.having is not None:
        inner += [f"if not {emitter.truth(query.having)}:", "    continue"]
    loop = "for number, (key, state) in enumerate(groups.items(), 1):"
    return [*lines, loop, *indented(1, [*inner, *kept]), "yield from emptied(groups)"]


def slots(aggregates: Sequence[Aggregate]) -> int:
    """Of a group's state."""
    return sum(_state_size(item) for item in aggregates)


def _alike(value: Expression, emitter: Emitter) -> str:
    """As it is told from others of its kind: NaN is equal to NaN."""
    text = emitter.value(value)
    if not may_be_nan(value):
        return text
    return f"(None if {text} is None else one_nan({text}))" if value.nullable else f"one_nan({text})"


def _accumulated(
    item: Aggregate, number: int, slot: int, emitter: Emitter, *, grouped: bool
) -> tuple[str, list[str], list[str]]:
    """(what must be true of a row for it to be counted, what is done before that is asked, what it does)."""
    tests, value, before = [], "", []
    if item.only is not None:
        tests.append(emitter.truth(item.only))
    if item.arg is not None:
        value = emitter.value(item.arg)
        if not value.isidentifier():
            before, value = [f"value = {value}"], "value"
        if item.arg.nullable:
            tests.append(f"{value} is not None")
    steps = _step(item, f"state.s{slot}", f"state.s{slot + 1}", value)
    if item.distinct:
        assert item.arg is not None, "count(DISTINCT *) is refused"
        one = f"one_nan({value})" if may_be_nan(item.arg) else value
        met = [f"met = (key, {one})" if grouped else f"met = {one}", f"if met not in seen_{number}:"]
        steps = [*met, *indented(1, [f"seen_{number}.add(met)", *steps])]
    return " and ".join(tests), before, steps


def _fresh_slots(aggregates: Sequence[Aggregate]) -> str:
    return ", ".join(_fresh(item) for item in aggregates)


def _state_size(item: Aggregate) -> int:
    """Slots in a group's state."""
    return 2 if item.name == "avg" else 1


def _fresh(item: Aggregate) -> str:
    """The slots of a new group."""
    if item.name == "avg":
        return "0, 0"
    return "0" if item.name == "count" else "None"


def _step(item: Aggregate, state: str, more: str, value: str) -> list[str]:
    """What a value does to its group; `state`, `more`: the aggregate's slots."""
    if item.name == "count":
        return [f"{state} += 1"]
    is_decimal = item.arg is not None and family(item.arg.type) == "decimal"
    if item.name == "avg":
        total = f"exact_add({state}, {value})" if is_decimal else f"{state} + {value}"
        return [f"{state} = {total}", f"{more} += 1"]
    if item.name == "sum":
        total = f"exact_add({state}, {value})" if is_decimal else f"{state} + {value}"
        return [f"{state} = {value} if {state} is None else {total}"]
    sign = "<" if item.name == "min" else ">"
    better = f"{value} {sign} {state}"
    if item.arg is not None and may_be_nan(item.arg):
        better = f"double_{'lt' if sign == '<' else 'gt'}({value}, {state})"
    return [f"if {state} is None or {better}:", f"    {state} = {value}"]


def _result(item: Aggregate, slot: int) -> str:
    """The aggregate's value, from slot `slot` of `state` on."""
    if item.name == "avg":
        return f"float(state.s{slot}) / state.s{slot + 1} if state.s{slot + 1} else None"
    if item.name == "sum" and item.arg is not None and _may_overflow(item.arg.type):
        fit = "fit_integer" if family(item.type) == "int" else "fit_decimal"
        return f"None if state.s{slot} is None else {fit}(state.s{slot}, {item.type!r})"
    return f"state.s{slot}"


def _may_overflow(kind: str) -> bool:
    """Whether a sum may be more than the widest type there is."""
    return kind == "HUGEINT" or family(kind) == "decimal"
