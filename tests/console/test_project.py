"""init: a project that works as it is written."""

from pathlib import Path

import pytest

from console.project import SAMPLE, document
from console.proposals import Proposals
from console.references import Table
from havok.config import read_settings
from tests.console.person import Person


def _ports(config: Path, person: Person) -> None:
    text = config.read_text()
    config.write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{person.port}").replace(
        "127.0.0.1:8081", f"127.0.0.1:{person.admin_port}"))  # fmt: skip


def test_a_project_from_a_file_refers_to_it(person: Person) -> None:
    done = person.does("init", "demo", "places.csv", "things.csv")
    assert "places: 3 rows, key code, at /v1/places" in done.out
    assert "things: 20 rows, key id, at /v1/things" in done.out
    assert done.out.endswith("next: cd demo && havok serve\n")
    demo = person.directory / "demo"
    assert [path.name for path in demo.iterdir()] == ["havok.toml"]
    assert 'source = "../places.csv"' in (demo / "havok.toml").read_text()
    assert person.havok("check", cwd=demo).code == 0
    assert person.havok("load", "places", cwd=demo).code == 0


def test_nothing_is_overwritten(person: Person) -> None:
    before = person.config.read_text()
    assert "havok.toml is there already" in person.refused("init", ".", "places.csv")
    assert person.config.read_text() == before
    demo = person.directory / "demo"
    demo.mkdir()
    (demo / SAMPLE).write_text("mine")
    assert "is there already" in person.refused("init", "demo")
    assert (demo / SAMPLE).read_text() == "mine"


def test_a_file_that_cannot_be_read_leaves_no_directory(person: Person) -> None:
    assert "none.csv does not exist" in person.refused("init", "demo", "none.csv")
    assert not (person.directory / "demo").exists()


def test_without_a_key_it_says_so(person: Person) -> None:
    person.csv("dull.csv", "a,b", [(1, 1), (1, 1)])
    done = person.does("init", "demo", "dull.csv")
    assert "no column, pair or triple is unique" in done.err
    assert "edit demo/havok.toml" in done.out
    assert "datasets.dull.key" in person.havok("check", "demo/havok.toml").err


def test_json(person: Person) -> None:
    found = person.does("init", "demo", "places.csv", "--json").json
    assert found["datasets"][0]["key"] == ["code"]


NAMES = ["Übersicht 2024.final.csv", "2024.csv", "___.csv", "a b.csv", "a-b.csv", 'quo"te.csv', "x" * 80 + ".csv"]


def test_any_file_name_makes_a_sound_configuration(person: Person) -> None:
    for name in NAMES:
        person.csv(name, "id,v", [(1, 2)])
    found = person.does("init", "demo", *NAMES, "--json").json
    names = [item["name"] for item in found["datasets"]]
    assert len(set(names)) == len(NAMES)
    assert read_settings(person.directory / "demo" / "havok.toml").faults == ()


@pytest.mark.parametrize("column", ['quo"te', "back\\slash", "new\nline", "tab\t", "\x7f", "ünïcode", "emoji 🚀"])
def test_any_column_name_survives_toml(tmp_path: Path, column: str) -> None:
    config = tmp_path / "havok.toml"
    config.write_text(document([Table("t", "t.csv", (column,), 1, (column, "v"))], "b", Proposals()), encoding="utf-8")
    loaded = read_settings(config)
    assert loaded.faults == ()
    assert loaded.settings.datasets["t"].key == (column,)


def _shop(person: Person) -> None:
    customers = [(f"c{number}", f"customer {number}") for number in range(30)]
    person.csv("customers.csv", "id,name", customers)
    orders = [(number, f"c{number % 30}", number * 2) for number in range(90)]
    person.csv("orders.csv", "id,customer_id,amount", orders)


def test_what_refers_to_another_table_gets_services_of_sql(person: Person) -> None:
    _shop(person)
    done = person.does("init", "demo", "customers.csv", "orders.csv")
    assert "  orders_of_customer: orders of one customer, at /v1/orders_of_customer?customer_id=…\n" in done.out
    assert "  order_with_customer: one order with its customer, at /v1/order_with_customer?id=…\n" in done.out
    config = (person.directory / "demo" / "havok.toml").read_text()
    assert 'indexes.by_customer_id = ["customer_id"]\n' in config
    demo = person.directory / "demo"
    assert person.havok("load", "orders", cwd=demo).code == person.havok("load", "customers", cwd=demo).code == 0
    assert person.havok("check", cwd=demo).out == "4 services, 2 datasets: all good\n"
    for service in ("orders_of_customer", "order_with_customer"):
        assert "cheaper" not in person.havok("plan", service, cwd=demo).out


def test_a_file_of_its_header_alone_is_refused(person: Person) -> None:
    person.csv("orders.csv", "id,amount", [(number, number * 2) for number in range(90)])
    person.does("init", "demo", "orders.csv")
    demo = person.directory / "demo"
    assert person.havok("load", "orders", cwd=demo).code == 0
    for rows, rule in (([], "min_rows 1"), ([(1, 2)], "max_row_change 0.5")):
        person.csv("orders.csv", "id,amount", rows)
        done = person.havok("load", "orders", cwd=demo)
        assert (done.code, rule in done.err) == (1, True), done.err
    person.does("init", "empty", "orders.csv")


def test_a_table_without_rows_gets_no_rule_that_its_first_load_would_break(person: Person) -> None:
    person.csv("orders.csv", "id,amount", [])
    person.does("init", "demo", "orders.csv")
    assert "min_rows" not in (person.directory / "demo" / "havok.toml").read_text()


def test_a_key_that_is_no_identifier(person: Person) -> None:
    _shop(person)
    orders = (person.directory / "orders.csv").read_text().replace("id,", "Order ID,", 1)
    (person.directory / "orders.csv").write_text(orders)
    done = person.does("init", "demo", "customers.csv", "orders.csv")
    assert "at /v1/order_with_customer?Order_ID=…\n" in done.out
    assert "GET /v1/orders?Order%20ID=…" in (person.directory / "demo" / "havok.toml").read_text()


def test_a_proposed_service_answers(person: Person) -> None:
    _shop(person)
    person.does("init", "demo", "customers.csv", "orders.csv")
    demo = person.directory / "demo"
    _ports(demo / "havok.toml", person)
    with Person.__new__(Person) as newcomer:
        newcomer.directory, newcomer.config, newcomer.data_dir = demo, demo / "havok.toml", demo / "var"
        newcomer.port, newcomer.admin_port, newcomer._served = person.port, person.admin_port, []
        newcomer.serve()
        found = newcomer.does("call", "orders_of_customer", "customer_id=c7", "limit=2", "--json").json
        assert [row["id"] for row in found["data"]] == [7, 37]
        assert found["next"]
        found = newcomer.does("call", "order_with_customer", "id=7", "--json").json
        assert found["data"] == [{"id": 7, "customer_id": "c7", "amount": 14, "name": "customer 7"}]


def test_the_sample_serves(person: Person) -> None:
    person.does("init", "demo")
    demo = person.directory / "demo"
    _ports(demo / "havok.toml", person)
    with Person.__new__(Person) as newcomer:
        newcomer.directory, newcomer.config, newcomer.data_dir = demo, demo / "havok.toml", demo / "var"
        newcomer.port, newcomer.admin_port, newcomer._served = person.port, person.admin_port, []
        served = newcomer.serve()
        assert newcomer.does("call", "cities", "code=ber", "--json").json["data"]["name"] == "Berlin"
        assert served.stop() == 0
