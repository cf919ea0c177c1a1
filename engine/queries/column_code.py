"""Names in a query's generated code: of columns, parameters and rows.

Rule: pure text. A name says which column it is wherever that can be said in Python, and none
can clash with the namespace: each has a prefix of its own.
"""

from collections.abc import Sequence

from engine.queries.expression import Column, Expression, columns
from engine.sqltype import family

Fields = dict[Column, bool]  # column → whether its value is needed, else only the bytes that are stored


def column_name(column: Column) -> str:
    """`c_carrier`, `j1_name`: which source's, and which column where its name can be said in Python."""
    prefix = "c" if column.source == 0 else f"j{column.source}"
    if column.name.isascii() and f"c_{column.name}".isidentifier():
        return f"{prefix}_{column.name}"
    return f"{prefix}x_{column.name.encode().hex()}"


def argument_name(name: str, params: Sequence[str]) -> str:
    return f"p_{name}" if name.isascii() and f"p_{name}".isidentifier() else f"p{params.index(name)}"


def fields_of(needed: Sequence[Expression], answered: Sequence[Expression]) -> Fields:
    """Columns that are read; those that are only answered are passed on as they are stored."""
    found: Fields = {value: False for value in answered if isinstance(value, Column)}
    for expression in (*needed, *(value for value in answered if not isinstance(value, Column))):
        for column in columns(expression):
            found[column] = True
    return found


def of_source(found: Fields, source: int) -> list[tuple[Column, bool]]:
    return sorted(
        ((column, is_typed) for column, is_typed in found.items() if column.source == source),
        key=lambda pair: pair[0].name,
    )


def unpacked(fields: Sequence[tuple[Column, bool]], record: str) -> list[str]:
    """Of an opaque column that something asks of, NULL is told from what else is stored."""
    lines = []
    for column, is_typed in fields:
        name = column_name(column)
        asked = is_typed and column.nullable and family(column.type) == "opaque"
        lines.append(f"{name} = opaque({record}.{name})" if asked else f"{name} = {record}.{name}")
    return lines


def tuple_of(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def indented(depth: int, lines: Sequence[str]) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]
