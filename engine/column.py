"""A column of an answer.

Rule: plain data, for plans and for whatever renders rows by type.
"""

import msgspec


class OutputColumn(msgspec.Struct, frozen=True):
    """`type`: DuckDB's name of it, as in `engine.sqltype`."""

    name: str
    type: str
