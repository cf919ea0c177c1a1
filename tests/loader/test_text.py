"""Text is kept, or cast to what it says: nothing is guessed, cut or renamed on the way."""

from pathlib import Path

import pytest

from havok.errors import LoadError
from loader import duck
from tests.loader.conftest import Desk
from tests.loader.test_reader import read, refused

AS_WRITTEN = [  # (text of a column of a first CSV, type, value)
    ("0x10", "VARCHAR", "0x10"),
    ("0b11", "VARCHAR", "0b11"),
    ("02134", "VARCHAR", "02134"),
    ("+5", "VARCHAR", "+5"),
    ("yes", "VARCHAR", "yes"),
    ("12/25/2013", "VARCHAR", "12/25/2013"),
    ("10:00", "VARCHAR", "10:00"),
    ("550E8400-E29B-41D4-A716-446655440000", "VARCHAR", "550E8400-E29B-41D4-A716-446655440000"),
    ("-5", "BIGINT", "-5"),
    ("TRUE", "BOOLEAN", "True"),
    ("1.5e3", "DOUBLE", "1500.0"),
    ("2013-01-31", "DATE", "2013-01-31"),
    ("2013-01-31 05:00", "TIMESTAMP", "2013-01-31 05:00:00"),
    ("123456789012345678901234567890", "DECIMAL(38,0)", "123456789012345678901234567890"),
    ("1" * 60, "VARCHAR", "1" * 60),
]


@pytest.mark.parametrize(("text", "kind", "value"), AS_WRITTEN, ids=[text[:12] for text, _, _ in AS_WRITTEN])
def test_a_first_csv_is_typed_only_where_nothing_is_lost(
    session: duck.Session, tmp_path: Path, text: str, kind: str, value: str
) -> None:
    (tmp_path / "a.csv").write_text(f"id,x\n1,{text}\n2,\n")
    types, rows = read(session, tmp_path, "a.csv")
    assert types["x"] == kind
    assert [str(row[1]) for row in rows] == [value, "None"]


def test_one_text_that_is_no_date_makes_the_column_text(session: duck.Session, tmp_path: Path) -> None:
    """And so a day never trades places with a month, between two files or two loads."""
    (tmp_path / "a.csv").write_text("id,s\n1,12/25/2013\n2,01/02/2013\n")
    (tmp_path / "b.csv").write_text("id,s\n3,03/04/2013\n")
    types, rows = read(session, tmp_path, "*.csv")
    assert types["s"] == "VARCHAR"
    assert sorted(rows) == [(1, "12/25/2013"), (2, "01/02/2013"), (3, "03/04/2013")]
    reason = refused(session, tmp_path, "b.csv", live={"s": "DATE"})
    assert "b.csv, line 2: column s: '03/04/2013' is not a DATE" in reason


@pytest.mark.parametrize("zone", ["-05:00", "-0500", "-05", "+05:00", "Z", " UTC", " EST", " America/New_York"])
def test_a_zone_is_never_dropped(session: duck.Session, tmp_path: Path, zone: str) -> None:
    (tmp_path / "a.csv").write_text(f"id,t\n1,2013-01-01 10:00:00{zone}\n")
    assert "line 2: column t" in refused(session, tmp_path, "a.csv", live={"t": "TIMESTAMP"})


def test_an_empty_text_is_not_a_missing_one(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,s,n\n1,"",""\n2,,\n3,x,7\n')
    types, rows = read(session, tmp_path, "a.csv")
    assert types == {"id": "BIGINT", "s": "VARCHAR", "n": "BIGINT"}
    assert rows == [(1, "", None), (2, None, None), (3, "x", 7)]


@pytest.mark.parametrize(
    ("live", "text"), [("BIGINT", "0x10"), ("DOUBLE", "9007199254740993"), ("TINYINT", "128"), ("BIGINT", "")]
)
def test_a_known_type_takes_only_what_it_can_hold(session: duck.Session, tmp_path: Path, live: str, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"id": 1, "n": "{text}"}}\n')
    assert "a.jsonl, line 1" in refused(session, tmp_path, "a.jsonl", live={"n": live})


def test_json_keeps_its_strings_and_digits(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "550E8400-E29B-41D4-A716-446655440000", "at": "1:30:00", "w": 123456789012345678901234567890,'
        ' "o": {"u": "550E8400-E29B-41D4-A716-446655440000", "d": "2013-1-2"}}\n'
    )
    types, rows = read(session, tmp_path, "a.jsonl")
    assert types == {"id": "VARCHAR", "at": "VARCHAR", "w": "DECIMAL(38,0)", "o": "JSON"}
    found = rows[0]
    assert found[:2] == ("550E8400-E29B-41D4-A716-446655440000", "1:30:00")
    assert str(found[2]) == "123456789012345678901234567890"
    assert found[3] == '{"u":"550E8400-E29B-41D4-A716-446655440000","d":"2013-1-2"}'


def test_nested_json_stays_as_it_is(desk: Desk) -> None:
    desk.write("a.jsonl", '{"id":1,"a":{"x":1},"l":[2.50, 9007199254740993]}\n')
    desk.load("a.jsonl")
    desk.write("b.jsonl", '{"id":2,"a":{"x":1.9,"y":"new"},"l":["00", "null"]}\n')
    assert desk.load("b.jsonl", mode="upsert").drift == ()
    assert desk.row(1) == b'{"id":1,"a":{"x":1},"l":[2.5,9007199254740993]}'
    assert desk.row(2) == b'{"id":2,"a":{"x":1.9,"y":"new"},"l":["00","null"]}'


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('{"id":1,"a":{"x":7},"d":[12345678901234567.25],"p":[0.25]}', {"id": 1, "a": {"x": 7, "y": None}}),
        ('{"id":1,"a":{"x":1.9},"d":[],"p":[]}', None),
        ('{"id":1,"a":{"x":1,"z":"new"},"d":[],"p":[]}', None),
        ('{"id":1,"a":{"x":1},"d":[],"p":[1.234]}', None),
    ],
    ids=["fits", "a fraction", "a field more", "digits more"],
)
def test_nested_json_is_what_the_live_version_has_or_refused(desk: Desk, line: str, row: dict[str, object]) -> None:
    desk.load("SELECT 1 AS id, {x: 1, y: 'a'} AS a, [1.5::DECIMAL(38,2)] AS d, [1.5::DECIMAL(9,2)] AS p")
    desk.write("b.jsonl", line)
    if row is None:
        with pytest.raises(LoadError, match=r"column [ap]"):
            desk.load("b.jsonl", mode="upsert")
    else:
        desk.load("b.jsonl", mode="upsert")
        assert desk.row(1) == b'{"id":1,"a":{"x":7,"y":null},"d":[12345678901234567.25],"p":[0.25]}'


def test_values_of_mixed_kinds_keep_theirs(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1,"v":"1"}\n{"id":2,"v":2}\n{"id":3,"v":"null"}\n{"id":4,"v":{"x":1}}\n')
    types, rows = read(session, tmp_path, "a.jsonl")
    assert types["v"] == "JSON"
    assert [row[1] for row in rows] == ['"1"', "2", '"null"', '{"x":1}']
    (tmp_path / "b.jsonl").write_text('{"id":1,"v":[9007199254740993, 2.50]}\n')
    assert read(session, tmp_path, "b.jsonl", {"v": "JSON"})[1] == [(1, "[9007199254740993,2.5]")]


def test_numbers_too_long_for_any_type_stay_numbers(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1,"v":0.5}\n{"id":2,"v":12345678901234567}\n')
    types, rows = read(session, tmp_path, "a.jsonl")
    assert (types["v"], [row[1] for row in rows]) == ("JSON", ["0.5", "12345678901234567"])


@pytest.mark.parametrize("text", ["1234567890123456", "100000000000000000000", "-9007199254740992"])
def test_a_double_takes_each_whole_number_it_can_be(session: duck.Session, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(f"id,v\n1,{text}\n")
    assert read(session, tmp_path, "a.csv", live={"v": "DOUBLE"})[1] == [(1, float(text))]


def test_a_list_in_a_csv_is_read_whole_or_not_at_all(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,n\n1,"[1, 2]"\n')
    assert read(session, tmp_path, "a.csv", {"n": "INTEGER[]"})[1] == [(1, [1, 2])]
    (tmp_path / "b.csv").write_text('id,n\n1,"[1,2.7]"\n')
    assert "'[1,2.7]' is not an INTEGER[]" in refused(session, tmp_path, "b.csv", overrides={"n": "INTEGER[]"})
    (tmp_path / "c.csv").write_text('id,n\n1,""\n2,\n')
    assert read(session, tmp_path, "c.csv", {"n": "INTEGER[]"})[1] == [(1, None), (2, None)]


def test_a_column_without_any_value_pins_no_type(desk: Desk) -> None:
    desk.write("a.csv", "id,n\n1,\n")
    desk.load("a.csv")
    desk.write("b.csv", "id,n\n1,5\n")
    result = desk.load("b.csv")
    assert desk.rows() == [{"id": 1, "n": 5}]
    assert result.drift == ("column n changed type from VARCHAR to BIGINT",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"id":1,"A":1,"a":2}\n', "columns A and a, alike but for case"),
        ("SELECT 1 AS id, 2 AS a, 3 AS a", None, "column a twice"),
        ("SELECT 1 AS id, 2 AS a, 3 AS A", None, "columns a and A, alike but for case"),
    ],
)
def test_columns_that_duckdb_would_rename_are_refused(
    session: duck.Session, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert said in refused(session, tmp_path, name)


def test_a_name_that_ends_in_a_number_is_a_name(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id":1,"a":1,"a_1":2}\n')
    assert read(session, tmp_path, "a.jsonl")[1] == [(1, 1, 2)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_directories_below_the_source_are_columns(session: duck.Session, tmp_path: Path, suffix: str) -> None:
    for zip_code, code in (("02134", "a%20b"), ("10001", "__HIVE_DEFAULT_PARTITION__")):
        directory = tmp_path / "run=5" / "h" / "year=2013" / f"zip={zip_code}" / f"code={code}"
        directory.mkdir(parents=True)
        if suffix == "parquet":
            session.execute(f"COPY (SELECT 1 AS id) TO {duck.text(str(directory / 'a.parquet'))} (FORMAT parquet)")
        else:
            (directory / f"a.{suffix}").write_text("id\n1\n" if suffix == "csv" else '{"id": 1}\n')
    types, rows = read(session, tmp_path, "run=5/h")
    assert list(types) == ["id", "year", "zip", "code"], "run stands above the source"
    assert sorted(rows, key=str) == [(1, 2013, "02134", "a b"), (1, 2013, "10001", None)]
    if suffix != "parquet":
        assert read(session, tmp_path, "run=5/h", {"year": "VARCHAR"})[0]["year"] == "VARCHAR"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_directory_may_not_be_named_like_a_column(session: duck.Session, tmp_path: Path, suffix: str) -> None:
    directory = tmp_path / "h" / "Year=2013"
    directory.mkdir(parents=True)
    path = directory / f"a.{suffix}"
    if suffix == "parquet":
        session.execute(f"COPY (SELECT 1999 AS year) TO {duck.text(str(path))} (FORMAT parquet)")
    else:
        path.write_text("year\n1999\n" if suffix == "csv" else '{"year": 1999}\n')
    assert "Year is a column of the files and a name of their directories" in refused(session, tmp_path, "h")


def test_a_field_too_long_for_python_does_not_hide_the_reason(session: duck.Session, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"id,n,s\n1,5,{'x' * 200_000}\n2,1.5,z\n")
    assert "column n: '1.5' is not a BIGINT" in refused(session, tmp_path, "a.csv", live={"n": "BIGINT"})


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("O-9,1", "line 302: 2 values, the header has 3 (the line reads: O-9,1)"),
        ("O-9", "line 302: 1 value, the header has 3 (the line reads: O-9)"),
        ("O-9,1,2,3,4", "line 302: more values than the 3 of the header (the line reads: O-9,1,2,3,4)"),
    ],
)
@pytest.mark.parametrize("live", [{}, {"id": "VARCHAR", "n": "BIGINT"}])
def test_a_line_of_another_length_says_how_long(
    session: duck.Session, tmp_path: Path, line: str, said: str, live: dict[str, str], end: str
) -> None:
    lines = ["id,n,day", *(f"O-{number},{number},2024-01-01" for number in range(300)), line, "O-1,2,2024-01-01", ""]
    (tmp_path / "a.csv").write_bytes(end.join(lines).encode())
    assert said in refused(session, tmp_path, "a.csv", live=live)
