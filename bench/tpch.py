"""TPC-H: its tables, and the values of its 22 queries, whose texts stand in `examples/tpch`.

Rule: the values are the specification's validation values (tpc.org, revision 3.0.1, clause 2.4).
Figures that come of it are no TPC-H results.
"""

import re
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

EXAMPLE = Path(__file__).parents[1] / "examples" / "tpch"
KEYS: dict[str, tuple[str, ...]] = {
    "region": ("r_regionkey",),
    "nation": ("n_nationkey",),
    "supplier": ("s_suppkey",),
    "customer": ("c_custkey",),
    "part": ("p_partkey",),
    "partsupp": ("ps_partkey", "ps_suppkey"),
    "orders": ("o_orderkey",),
    "lineitem": ("l_orderkey", "l_linenumber"),
}


class TpchQuery(msgspec.Struct, frozen=True):
    """`types`: of the parameters that are compared with no column, as the configuration names them."""

    number: int
    sql: str
    values: dict[str, Any]
    types: dict[str, str] = {}

    @property
    def written_out(self) -> str:
        """The values in the place of the parameters, for a DuckDB that knows nothing of ours."""
        return re.sub(r"(?<!:):([a-z]\w*)", lambda match: _literal(self.values[match[1]]), self.sql)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_literal(item) for item in value)
    if isinstance(value, str):
        return f"DATE '{value}'" if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else f"'{value}'"
    return str(value)


VALUES: dict[int, dict[str, Any]] = {
    1: {"delta": 90},
    2: {"size": 15, "type": "%BRASS", "region": "EUROPE"},
    3: {"segment": "BUILDING", "date": "1995-03-15"},
    4: {"date": "1993-07-01"},
    5: {"region": "ASIA", "date": "1994-01-01"},
    6: {"date": "1994-01-01", "discount": Decimal("0.06"), "quantity": 24},
    7: {"nation1": "FRANCE", "nation2": "GERMANY"},
    8: {"nation": "BRAZIL", "region": "AMERICA", "type": "ECONOMY ANODIZED STEEL"},
    9: {"color": "%green%"},
    10: {"date": "1993-10-01"},
    11: {"nation": "GERMANY", "fraction": 0.0001},
    12: {"modes": ["MAIL", "SHIP"], "date": "1994-01-01"},
    13: {"words": "%special%requests%"},
    14: {"date": "1995-09-01"},
    15: {"date": "1996-01-01"},
    16: {"brand": "Brand#45", "type": "MEDIUM POLISHED%", "sizes": [49, 14, 23, 45, 19, 3, 36, 9]},
    17: {"brand": "Brand#23", "container": "MED BOX"},
    18: {"quantity": 300},
    19: {"brand1": "Brand#12", "brand2": "Brand#23", "brand3": "Brand#34", "low1": 1, "low2": 10, "low3": 20},
    20: {"color": "forest%", "date": "1994-01-01", "nation": "CANADA"},
    21: {"nation": "SAUDI ARABIA"},
    22: {"codes": ["13", "31", "23", "29", "30", "18", "17"]},
}


def queries() -> list[TpchQuery]:
    services = tomllib.loads((EXAMPLE / "queries.toml").read_text())["services"]
    found = []
    for number, values in VALUES.items():
        service = services[f"q{number:02}"]
        types = {name: rules["type"] for name, rules in service.get("params", {}).items()}
        found.append(TpchQuery(number, service["sql"].strip(), values, types))
    return found


def generate(directory: Path, scale: float) -> dict[str, Path]:
    """Table → its Parquet file, made by tpchgen-cli, of the same environment as this Python."""
    program = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run([program, "parquet", "-s", str(scale), "-o", directory], check=True, capture_output=True)
    return {table: directory / f"{table}.parquet" for table in KEYS}
