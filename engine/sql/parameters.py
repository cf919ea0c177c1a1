"""Parameters: which type one has beside what, and what is said of one that cannot be what it is.

Rule: words and types only, the same for compiled and analytical services. A sentence ends in what
to write, in SQL or in havok.toml.
"""

from collections.abc import Collection

from engine.sqltype import TIMESTAMPTZ, decimal, family, width_and_scale
from havok.settings import RESERVED_PARAMS

DECLARED = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_NAMES = {kind: name for name, kind in DECLARED.items()}


def param_type(kind: str) -> str | None:
    """The type of a parameter that is compared with a column of this type; None: there is none."""
    found = family(kind)
    if found == "int":
        return kind if kind in ("UBIGINT", "HUGEINT") else "BIGINT"
    if found == "decimal":
        return decimal(38, width_and_scale(kind)[1])
    if found in ("double", "float"):
        return "DOUBLE"
    if found in ("bool", "string", "date", "moment"):
        return kind
    return None


def declared_as(kind: str) -> str | None:
    """What a person writes for a parameter beside a value of this type; None: nothing fits as well."""
    wide = {"int": "BIGINT", "decimal": "DOUBLE"}.get(family(kind), param_type(kind) or "")
    return _NAMES.get(wide)


def fitting(kinds: Collection[str], *, divided: bool = False) -> str | None:
    """The same beside what is made of values of these types; `divided`: by a /."""
    names = {declared_as(kind) for kind in kinds}
    if names <= {"int", "float"} and names:
        return "float" if divided or "float" in names else "int"
    return names.pop() if len(names) == 1 else None


def taken(name: str) -> str | None:
    """What is wrong with the name: no caller could send it."""
    if name not in RESERVED_PARAMS:
        return None
    return f"{name} is taken: it is every SQL service's own parameter; name it otherwise, as :{name}_value"


def unclear(name: str, fits: str | None) -> str:
    """`fits`: the declared type that would do there."""
    shown = f'"{fits}" }}' if fits else f'"…" }}, one of {", ".join(DECLARED)}'
    return f"the type of :{name} is not clear; say it: params.{name} = {{ type = {shown}"


def no_count(clause: str, name: str) -> str:
    return f'{clause} takes an integer: params.{name}.type = "int"'


def no_column(name: str) -> str:
    return f"a parameter cannot name a column; write CASE :{name} WHEN … THEN … END"


def clash(name: str, declared: str | None, kind: str, beside: str, other: str) -> str:
    """A parameter of type `kind` and `beside`, of type `other`, do not go together. Of a list, `kind` ends in []."""
    wanted = declared_as(other)
    if declared is None:
        return f":{name} is {kind} where it stands first, {beside} is {other}: take a parameter for each"
    if wanted is None:
        remedy = "leave type out" if other == TIMESTAMPTZ else "no parameter can be compared with that"
    else:
        remedy = f'leave type out or say "{f"list<{wanted}>" if kind.endswith("[]") else wanted}"'
    return f":{name} is {declared} by params.{name}.type, {beside} is {other}: {remedy}"
