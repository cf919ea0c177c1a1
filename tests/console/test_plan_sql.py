"""plan of SQL services: the way to the rows, what it costs, what would be cheaper, and the code."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.person import Person

TABLES = """
[datasets.orders]
key = ["id"]
source = "orders.csv"
indexes = { by_customer = ["customer_id", "day"] }
[datasets.customers]
key = ["id"]
source = "customers.csv"
"""
RANGE = """SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id
WHERE o.customer_id = :customer AND o.day >= :since AND o.note = 'gift' AND (o.amount > 1 OR o.id = 2)
ORDER BY o.amount LIMIT :limit"""
SERVICES = {
    "range": (RANGE, 'params = { limit = { type = "int", default = 5, min = 1, max = 50 } }'),
    "recent": ("SELECT id FROM orders WHERE customer_id = :customer ORDER BY day DESC NULLS FIRST LIMIT 10", ""),
    "nulls": ("SELECT id FROM orders WHERE customer_id = :customer ORDER BY day DESC LIMIT 10", ""),
    "lists": ("SELECT id FROM orders WHERE customer_id IN (:customers)", "rate_limit = { rps = 5, burst = 2 }"),
    "wide": ("SELECT id FROM orders WHERE id > :id", "max_rows_scanned = 2000"),
    "days": ("SELECT day, count(*) AS n FROM orders WHERE customer_id = :c AND note = :note GROUP BY day LIMIT 3", ""),
    "name": ("SELECT name FROM customers WHERE id = :id", ""),
    "ids": ("SELECT id, name AS n FROM customers WHERE id IN (:ids)", ""),
    "sums": ("SELECT note, sum(amount) AS total FROM orders GROUP BY note", "analytical = true"),
}
ADVICE = (
    'indexes.by_customer_id_note_day = ["customer_id", "note", "day"] under [datasets.orders], then: '
    "havok load orders  (note is sought, not filtered); cursors given out before end then"
)
SORTED = "sorted after reading; with NULLS FIRST rows come as they are read, and LIMIT ends the reading"
PAGES = (
    "a page ends at LIMIT; next goes on there, in later versions too; "
    "it ends when the SQL or the access path changes, as a better index does"
)
MOST = "at most 100,000 rows read a request (max_rows_scanned)"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """400 orders of 7 customers, 50 or so each, and as many of none."""
    with Person(tmp_path_factory.mktemp("shop")) as made:
        orders = [
            (number, number % 7 if number % 8 else "", f"2024-01-0{1 + number % 9}", f"{number}.5", "gift")
            for number in range(400)
        ]
        made.csv("orders.csv", "id,customer_id,day,amount,note", orders)
        made.csv("customers.csv", "id,name", [(number, f"customer {number}") for number in range(7)])
        made.config.write_text(
            made.config.read_text()
            + TABLES
            + "".join(
                f'[services.{name}]\nkind = "sql"\ncompartment = "two"\nsql = """{sql}"""\n{more}\n'
                for name, (sql, more) in SERVICES.items()
            )
        )
        made.loaded("orders")
        made.loaded("customers")
        yield made


def _lines(shop: Person, service: str) -> dict[str, list[str]]:
    """Label → what stands behind it."""
    found: dict[str, list[str]] = {}
    for line in shop.does("plan", service).out.splitlines():
        label, _, text = line.partition(" ")
        found.setdefault(label, []).append(text.strip())
    return found


def test_every_line_of_a_range(shop: Person) -> None:
    found = _lines(shop, "range")
    assert found["service"] == ["range (sql, core) in two"]
    assert found["access"] == ["range of orders by index by_customer (customer_id), day bounded; then customers by key"]
    assert found["filter"] == ["orders.note = 'gift'", "(orders.amount > 1.0 OR orders.id = 2)"]
    assert found["order"] == ["sorted after reading"]
    assert found["cost"] == [
        f"about 50 rows read, 50 for the most frequent values, less what the range leaves out; {MOST}"
    ]
    assert found["pages"] == [PAGES]
    assert [part.partition("@")[0] for part in found["reads"][0].split(", ")] == ["orders", "customers"]
    assert found["guards"] == ["no rate limit; weight 1 in a compartment above its low mark"]
    assert found["answers"] == ["rows: id BIGINT, name VARCHAR"]
    assert found["cheaper"] == [ADVICE]
    table = [line.split() for line in shop.does("plan", "range").out.splitlines()[-4:]]
    assert table == [
        ["PARAMETER", "TYPE", "DEFAULT", "RULES"],
        ["customer", "int", "required", "any"],
        ["since", "date", "required", "any"],
        ["limit", "int", "5", "min", "1,", "max", "50"],
    ]


@pytest.mark.parametrize(
    ("service", "label", "text"),
    [
        ("recent", "access", "range of orders by index by_customer (customer_id), backwards"),
        ("recent", "order", "as the rows are read"),
        ("recent", "cost", f"about 50 rows read, 50 for the most frequent values, or until a page is full; {MOST}"),
        ("nulls", "access", "range of orders by index by_customer (customer_id)"),
        ("nulls", "order", SORTED),
        ("lists", "cost", f"about 50 rows read, 50 for the most frequent values, for each value of a list; {MOST}"),
        ("lists", "guards", "5 requests/s, burst 2; weight 1 in a compartment above its low mark"),
        ("wide", "access", "range of orders by key, id bounded"),
        ("wide", "cost", f"up to 400 rows read, as far as the range goes; {MOST.replace('100', '2')}"),
        ("days", "order", "grouped"),
        ("days", "pages", "a page ends at LIMIT; next goes on there, until another version is live"),
        ("name", "access", "point lookup in customers by key (id)"),
        ("name", "cost", f"1 row read for each key; {MOST}"),
        ("ids", "answers", "rows: id BIGINT, n VARCHAR"),
        ("sums", "access", "DuckDB over the cold twins of orders, in an executor process"),
        ("sums", "answers", "rows: note VARCHAR, total DOUBLE"),
    ],
)  # fmt: skip
def test_a_line_says(shop: Person, service: str, label: str, text: str) -> None:
    assert _lines(shop, service)[label] == [text]


def test_what_is_as_good_as_it_gets_has_no_advice(shop: Person) -> None:
    assert [name for name in SERVICES if "cheaper" in _lines(shop, name)] == ["range", "days"]


def test_json_has_the_same_facts(shop: Person) -> None:
    found: dict[str, Any] = shop.does("plan", "range", "--json").json
    access, cost = found["access"], found["cost"]
    assert (access["key"], access["index"]) == (["customer_id"], "by_customer")
    assert access["advice"] == {
        "dataset": "orders", "columns": ["customer_id", "note", "day"], "why": "note is sought, not filtered",
        "text": ADVICE,
    }  # fmt: skip
    assert (cost["rows_median"], cost["rows_most"], cost["rows_max"]) == (50, 50, 100_000)
    assert [(param["name"], param["type"], param["default"]) for param in found["params"]] == [
        ("customer", "int", None), ("since", "date", None), ("limit", "int", 5),
    ]  # fmt: skip
    assert found["params"][2]["rules"] == {"min": 1, "max": 50}
    assert list(found["datasets"]) == ["orders", "customers"]
    assert shop.does("plan", "lists", "--json").json["params"][0]["type"] == "list<int>"
    assert shop.does("plan", "sums", "--json").json["access"]["path"] == "analytical"
    assert "def select(" in shop.does("plan", "range", "--json", "--code").json["code"]


def test_code_is_what_runs(shop: Person) -> None:
    for service in ("range", "days", "name"):
        code = shop.does("plan", service, "--code").out
        compile(code, "plan", "exec")
        assert "def select(" in code
    assert "FROM orders GROUP BY note" in shop.does("plan", "sums", "--code").out
