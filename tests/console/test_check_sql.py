"""check: SQL services compiled on the live schemas, every fault at once, readable in a terminal."""

from tests.console.person import Person

BROKEN = """
[services.misspelt]
kind = "sql"
compartment = "one"
sql = '''
SELECT id,
       nmae
FROM things WHERE id = :id
'''
[services.unkeyed]
kind = "sql"
compartment = "one"
sql = "SELECT id FROM things WHERE name = :name ORDER BY v LIMIT 5"
[services.unruly]
kind = "sql"
compartment = "two"
sql = "SELECT name FROM things WHERE id >= :from_id LIMIT 5"
params = { form_id = { min = 1 } }
[services.unknown]
kind = "sql"
compartment = "two"
analytical = true
sql = "SELECT t.name FROM things t WHERE t.id = :id AND t.vv > 1"
[services.sound]
kind = "sql"
compartment = "two"
sql = "SELECT name FROM things WHERE id IN (:ids)"
"""
UNKEYED = (
    "every row of things would be read: WHERE fixes neither the beginning of its key (id) nor of an index; an index "
    'would help: indexes.by_name_v = ["name", "v"] under [datasets.things], then: havok load things. Or, to read '
    "whole columns in a process aside: analytical = true"
)


def _amended(person: Person, services: str) -> None:
    person.config.write_text(person.config.read_text() + services)


def test_every_plan_is_compiled_and_every_fault_told(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    _amended(person, BROKEN)
    file = "error: havok.toml"
    assert person.refused("check") == (
        f"{file}: services.misspelt.sql: line 2: there is no column 'nmae' in things; did you mean name?\n"
        "    nmae\n"
        "    ^^^^\n"
        f"{file}: services.unkeyed.sql: {UNKEYED}\n"
        f"{file}: services.unruly.sql: the SQL has no parameter :form_id; did you mean from_id?\n"
        f'{file}: services.unknown.sql: line 1: table "t" does not have a column named "vv"; did you mean v?\n'
        "    SELECT t.name FROM things t WHERE t.id = :id AND t.vv > 1\n"
        "                                                     ^^^^\n"
    )
    found = person.havok("check", "--json")
    assert found.code == 1
    assert found.json["ok"] is False
    faults = {fault["key"]: fault["reason"] for fault in found.json["faults"]}
    assert set(faults) == {f"services.{name}.sql" for name in ("misspelt", "unkeyed", "unruly", "unknown")}
    assert faults["services.unkeyed.sql"] == UNKEYED
    assert faults["services.misspelt.sql"].splitlines()[1:] == ["    nmae", "    ^^^^"]


def test_an_index_that_helps_is_built_by_the_next_load(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    _amended(person, BROKEN[BROKEN.index("[services.unkeyed]") : BROKEN.index("[services.unruly]")])
    person.amend('source = "things.csv"', 'source = "things.csv"\nindexes.by_name_v = ["name", "v"]')
    lacks = "it reads by an index that the live version does not have yet; build it: havok load things\n"
    assert person.refused("check") == (
        "warning: havok.toml: datasets.things.indexes.by_name_v: the live version does not have it yet; "
        f"build it: havok load things\nerror: havok.toml: services.unkeyed.sql: {lacks}"
    )
    assert person.refused("plan", "unkeyed") == f"error: service unkeyed: {lacks}"
    person.does("load", "things")
    done = person.does("check")
    assert (done.out, done.err) == ("3 services, 2 datasets: all good\n", "")
    assert "cheaper" not in person.does("plan", "unkeyed").out


def test_before_the_first_load_it_says_what_it_could_not_compile(person: Person) -> None:
    _amended(person, BROKEN[BROKEN.index("[services.misspelt]") : BROKEN.index("[services.unruly]")])
    person.loaded("places")
    told = "4 services, 2 datasets: all good; NOT compiled yet, for want of data: thing, misspelt, unkeyed\n"
    assert person.does("check").out == told
    assert person.does("check", "--json").json["not_compiled"] == ["thing", "misspelt", "unkeyed"]


def test_sql_that_cannot_be_read_needs_no_data_to_be_told(person: Person) -> None:
    _amended(person, '[services.x]\nkind = "sql"\ncompartment = "one"\nsql = "SELECT name FROM things WERE id = :id"\n')
    assert "services.x.sql: line 1: the SQL cannot be read here\n    SELECT name FROM things WERE id" in person.refused(
        "check"
    )


NAMED = """
[services.named]
kind = "sql"
compartment = "one"
sql = "SELECT id, v FROM things WHERE name = :name"
"""
INDEXED = 'source = "things.csv"\nindexes = { by_name = ["name"] }'


def test_an_index_that_left_the_file_is_missed_before_the_next_load(person: Person) -> None:
    person.amend('source = "things.csv"', INDEXED)
    person.loaded("things")
    person.loaded("places")
    _amended(person, NAMED)
    person.does("check")
    person.amend(INDEXED, 'source = "things.csv"')
    lost = (
        "it reads by index by_name, and there would be none; "
        'keep indexes.by_name = ["name"] under [datasets.things], or change the service first\n'
    )
    assert person.refused("check") == (
        f"error: havok.toml: services.named.sql: the next load of things would be refused: {lost}"
    )
    assert f"a live service does not compile on it: service named: {lost}" in person.refused("load", "things")
    person.amend(NAMED, "")
    assert person.does("check").err == ""


def test_an_index_of_other_columns_than_the_live_one_is_a_warning(person: Person) -> None:
    person.amend('source = "things.csv"', INDEXED)
    person.loaded("things")
    person.amend('by_name = ["name"]', 'by_name = ["name", "v"]')
    told = "datasets.things.indexes.by_name: the live version has it over (name); build it: havok load things"
    assert told in person.does("check").err


def test_a_service_that_will_have_to_read_otherwise_is_a_warning(person: Person) -> None:
    person.amend('source = "things.csv"', INDEXED)
    person.loaded("things")
    _amended(person, NAMED.replace("name = :name", "name = :name AND id > :after"))
    assert person.does("check").err == ""
    person.amend(INDEXED, 'source = "things.csv"')
    told = (
        "services.named.sql: it reads by index by_name until the next load of things, then by another way: range of "
        'things by key, id bounded; or keep indexes.by_name = ["name"] under [datasets.things]'
    )
    assert told in person.does("check").err


def test_a_key_that_left_the_file_is_missed_before_the_next_load(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    _amended(person, NAMED.replace("name = :name", "id = :id"))
    person.amend('key = ["id"]', 'key = ["v", "id"]')
    told = person.refused("check")
    assert "services.named.sql: the next load of things would be refused: every row of things would be read" in told
    assert "datasets.things.key: the live version is served by (id) until the next load" in told


def test_a_service_that_reads_more_than_it_may_is_a_warning(person: Person) -> None:
    person.loaded("things")
    person.loaded("places")
    _amended(person, NAMED.replace("WHERE name = :name", "WHERE id > :after ORDER BY v") + "max_rows_scanned = 5\n")
    told = "a request of a wide range reads up to 20 rows, more than max_rows_scanned = 5, and is refused (422 too_many"
    assert f"services.named.sql: {told}" in person.does("check").err
    assert f"warning: {told}" in person.does("plan", "named").err
    person.amend(" ORDER BY v", " LIMIT 3")
    assert person.does("check").err == person.does("plan", "named").err == ""
