"""A SELECT that DuckDB runs over the cold twins, as a plan carries it.

Rule: plain frozen data that crosses the bus. It was made, and every name and function in it
checked, by `engine.sql.analytical`; whoever runs it need not trust that and checks again.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from engine.column import OutputColumn
from havok.manifest import Column


class Analytical(msgspec.Struct, frozen=True, tag="analytical"):
    """`sql`: as it was written; `text`: what DuckDB is given, its parameters as `$name`, each cast to its type.

    `schemas`: of each dataset the columns it was compiled on, as `schema_id` has them: on others, a * means another.
    """

    sql: str
    text: str
    datasets: tuple[str, ...]
    schemas: tuple[str, ...]
    columns: tuple[OutputColumn, ...]


def schema_id(columns: Sequence[Column]) -> str:
    """The same for the same names and types in the same order."""
    return hashlib.sha256(msgspec.json.encode(columns)).hexdigest()[:16]


def describe(analytical: Analytical) -> str:
    """The access path in words."""
    return f"DuckDB over the cold twins of {', '.join(analytical.datasets)}"
