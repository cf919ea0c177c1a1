"""The TPC-H example as it stands: loaded, served, and every answer DuckDB's own.

HAVOK_TPCH_SCALE: 0.01 in CI.
"""

import math
import os
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import duckdb
import msgspec
import pytest

from bench import tpch
from bench.tpch import TpchQuery
from tests.compartments.deadline import until
from tests.console.person import Person, get

KEYED: dict[str, tuple[dict[str, object], str]] = {
    "order": (
        {"orderkey": 7},
        """SELECT o_orderkey, o_orderdate, o_orderstatus, o_totalprice, o_orderpriority, c_custkey, c_name, c_phone,
                  n_name AS nation FROM orders, customer, nation
           WHERE c_custkey = o_custkey AND n_nationkey = c_nationkey AND o_orderkey = 7""",
    ),
    "order_lines": (
        {"orderkey": 7},
        """SELECT l_linenumber, p_name, s_name, l_quantity, l_extendedprice, l_discount,
                  l_extendedprice * (1 - l_discount) AS price, l_shipdate, l_returnflag = 'R' AS returned
           FROM lineitem, part, supplier WHERE p_partkey = l_partkey AND s_suppkey = l_suppkey AND l_orderkey = 7
           ORDER BY l_linenumber""",
    ),
    "order_sum": (
        {"orderkey": 7},
        """SELECT count(*) AS lines, sum(l_quantity) AS quantity, sum(l_extendedprice * (1 - l_discount)) AS net,
                  sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS gross, max(l_receiptdate) AS received
           FROM lineitem WHERE l_orderkey = 7""",
    ),
    "customer": (
        {"custkey": 11},
        """SELECT c_custkey, c_name, c_address, c_phone, c_acctbal, c_mktsegment, n_name AS nation, r_name AS region
           FROM customer, nation, region
           WHERE n_nationkey = c_nationkey AND r_regionkey = n_regionkey AND c_custkey = 11""",
    ),
    "customer_orders": (
        {"custkey": 10, "limit": 100},
        """SELECT o_orderkey, o_orderdate, o_orderstatus, o_totalprice FROM orders
           WHERE o_custkey = 10 ORDER BY o_orderdate DESC, o_orderkey DESC LIMIT 100""",
    ),
    "customer_sums": (
        {"custkey": 10},
        """SELECT o_orderstatus, count(*) AS orders, sum(o_totalprice) AS total, max(o_orderdate) AS last FROM orders
           WHERE o_custkey = 10 GROUP BY ALL ORDER BY o_orderstatus""",
    ),
    "part_offers": (
        {"partkey": 5},
        """SELECT s_suppkey, s_name, n_name AS nation, ps_supplycost, ps_availqty FROM partsupp, supplier, nation
           WHERE s_suppkey = ps_suppkey AND n_nationkey = s_nationkey AND ps_partkey = 5 ORDER BY ps_supplycost""",
    ),
    "part_sales": (
        {"partkey": 5, "limit": 200},
        """SELECT l_orderkey, l_linenumber, l_shipdate, l_quantity, l_extendedprice FROM lineitem
           WHERE l_partkey = 5 ORDER BY l_shipdate DESC, l_orderkey DESC, l_linenumber DESC LIMIT 200""",
    ),
}


class Shop:
    def __init__(self, person: Person) -> None:
        self.person = person
        self.plain = duckdb.connect()
        directory = person.directory
        (directory / "data").mkdir()
        scale = float(os.environ.get("HAVOK_TPCH_SCALE") or 0.01)
        for table, file in tpch.generate(directory / "data", scale).items():
            self.plain.execute(f"CREATE VIEW {table} AS SELECT * FROM '{file}'")
        shutil.copy(tpch.EXAMPLE / "queries.toml", directory)
        node = f'[node]\nlisten = "127.0.0.1:{person.port}"\nadmin = "127.0.0.1:{person.admin_port}"'
        person.config.write_text((tpch.EXAMPLE / "havok.toml").read_text().replace("[node]", node, 1))

    def ask(self, service: str, values: dict[str, Any]) -> Any:
        texts = {
            name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()
        }
        answer = get(self.person.port, f"/v1/{service}?{urlencode(texts)}")
        assert answer.status == 200, (service, answer)
        return answer.json["data"]

    def expected(self, sql: str) -> list[dict[str, Any]]:
        """As JSON has them: a DECIMAL is a number, a date its text."""
        relation = self.plain.sql(sql)
        names = relation.columns
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
        encoded = msgspec.json.Encoder(decimal_format="number").encode(rows)
        decoded: list[dict[str, Any]] = msgspec.json.decode(encoded)
        return decoded


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Person(tmp_path_factory.mktemp("shop")) as person:
        made = Shop(person)
        served = person.serve()
        until(lambda: all(found["state"] == "live" for found in served.status()["services"].values()), 100, "all live")
        yield made
        assert served.stop() == 0
        made.plain.close()


def same(mine: Any, theirs: Any) -> bool:
    """Sums of doubles depend on the order of their parts."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return list(mine) == list(theirs) and all(same(mine[name], theirs[name]) for name in mine)
    if isinstance(mine, float) or isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=1e-9)
    return type(mine) is type(theirs) and mine == theirs


def check(mine: list[Any], theirs: list[Any]) -> None:
    assert len(mine) == len(theirs)
    for row, wanted in zip(mine, theirs, strict=True):
        assert same(row, wanted), (row, wanted)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", KEYED)
def test_the_pages_of_the_shop(shop: Shop, service: str) -> None:
    values, sql = KEYED[service]
    rows = shop.ask(service, values)
    assert rows
    check(rows, shop.expected(sql))


def test_a_part_by_its_key(shop: Shop) -> None:
    assert shop.ask("part", {"p_partkey": 5}) == shop.expected("SELECT * FROM part WHERE p_partkey = 5")[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("query", tpch.queries(), ids=lambda query: f"Q{query.number}")
def test_the_queries(shop: Shop, query: TpchQuery) -> None:
    check(shop.ask(f"q{query.number:02}", query.values), shop.expected(query.written_out))
