"""SQL services that a new project is offered: they compile, and have what they need."""

import msgspec

from console.proposals import propose
from console.references import Reference, Table

CUSTOMERS = Table("customers", "c.csv", ("id",), 9, ("id", "name", "Zip Code"), ("BIGINT", "VARCHAR", "VARCHAR"))
ORDERS = Table("orders", "o.csv", ("id",), 99, ("id", "payer", "payee", "name"), ("BIGINT",) * 3 + ("VARCHAR",))
LINES = Table("order-lines", "l.csv", ("order_id", "line"), 99, ("order_id", "line", "sku"), ("BIGINT",) * 3)


def test_rows_by_the_key_of_another_and_a_row_with_the_other() -> None:
    found = propose([CUSTOMERS, ORDERS], [Reference(ORDERS, ("payer",), CUSTOMERS)])
    rows, row = found.services
    assert (rows.name, rows.sample, rows.says) == ("orders_of_customer", "payer=…", "orders of one customer")
    assert rows.sql == "SELECT * FROM orders\nWHERE payer = :payer\nORDER BY id LIMIT :limit"
    assert (row.name, row.sample, row.says) == ("order_with_customer", "id=…", "one order with its customer")
    assert row.sql == (
        'SELECT c.id, c.payer, c.payee, c.name, p1.name AS customer_name, p1."Zip Code"\nFROM orders c\n'
        "LEFT JOIN customers p1 ON p1.id = c.payer\nWHERE c.id = :id"
    )
    assert found.indexes == {"orders": {"by_payer": ("payer",)}}


def test_two_references_to_one_table_are_told_apart() -> None:
    both = [Reference(ORDERS, (column,), CUSTOMERS) for column in ("payer", "payee")]
    found = propose([CUSTOMERS, ORDERS], both)
    assert [item.name for item in found.services] == ["orders_of_customer", "orders_by_payee", "order_with_customer"]
    for label in ("payer_name", "payee_name"):
        assert label in found.services[2].sql
    assert list(found.indexes["orders"]) == ["by_payer", "by_payee"]


def test_where_the_key_begins_with_the_reference_no_index_is_needed() -> None:
    found = propose([ORDERS, LINES], [Reference(LINES, ("order_id",), ORDERS)])
    assert [item.name for item in found.services] == ["order-lines_of_order", "order-line_with_order"]
    assert found.services[0].sql.splitlines()[2] == "ORDER BY line LIMIT :limit"
    assert 'FROM "order-lines"' in found.services[0].sql
    assert found.indexes == {}


def test_columns_that_are_no_identifiers_get_parameters_that_are() -> None:
    odd = Table("odd", "o.csv", ("from", "Order ID"), 9, ("from", "Order ID", "limit"), ("BIGINT",) * 3)
    found = propose([CUSTOMERS, odd], [Reference(odd, ("limit",), CUSTOMERS)])
    rows, row = found.services
    assert rows.sql == ('SELECT * FROM odd\nWHERE limit = :limit_value\nORDER BY "from", "Order ID" LIMIT :limit')
    assert row.sql.endswith('WHERE c."from" = :from_value AND c."Order ID" = :Order_ID')
    assert (rows.sample, row.sample) == ("limit_value=…", "from_value=…&Order_ID=…")
    assert found.left_out == ()


def test_what_is_not_offered_is_told() -> None:
    single = msgspec.structs.replace(CUSTOMERS, name="order_with_customer")
    found = propose([CUSTOMERS, ORDERS, single], [Reference(ORDERS, ("payer",), CUSTOMERS)])
    assert [item.name for item in found.services] == ["orders_of_customer"]
    assert found.left_out == (
        "order_with_customer (one order with its customer) is not offered: another service has its name",
    )
