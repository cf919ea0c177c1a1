"""The Python text of aggregates: a group's state, what a row adds to it, what it comes to.

Rule: a group's state is one list; each aggregate has its slots there. NULLs were left out
before a step is taken.
"""

from engine.expression import Aggregate
from engine.scalar import may_be_nan
from engine.sqltype import family


def state_size(item: Aggregate) -> int:
    """Slots in a group's state."""
    return 2 if item.name == "avg" and not item.distinct else 1


def fresh(item: Aggregate) -> str:
    """The slots of a new group."""
    if item.distinct:
        return "set()"
    if item.name == "avg":
        return "0, 0"
    return "0" if item.name == "count" else "None"


def step(item: Aggregate, state: str, more: str, value: str) -> list[str]:
    """What a value does to its group; `state`, `more`: the aggregate's slots."""
    if item.distinct:
        return [f"{state}.add({value})"]
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


def result(item: Aggregate, slot: int) -> str:
    """The aggregate's value, from slot `slot` of `state` on."""
    state = f"state[{slot}]"
    if item.distinct:
        return f"len({state})" if item.name == "count" else f"of_set_{item.name}({state})"
    if item.name == "avg":
        return f"float({state}) / state[{slot + 1}] if state[{slot + 1}] else None"
    return state
