"""DuckDB over the cold twins: the values, the versions, the bounds, and the second wall."""

import datetime
import os
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import msgspec
import pytest

from engine.analysis.analytical import Analytical
from engine.analysis.twins import CHUNK_ROWS, Twins
from engine.column import OutputColumn
from havok.errors import Internal, OutOfMemory, QueryFailed, QueryTimeout, StoreDown
from havok.manifest import MANIFEST_FILE, TWIN_FILE, encode_manifest
from loader import render
from tests.engine import escapes
from tests.engine.twinning import Twinned

TYPES = """
SELECT 1 AS id, true AS b, 7::TINYINT AS i1, 18446744073709551615::UBIGINT AS u, 1.50::DECIMAL(5,2) AS d2,
    (-0.5)::DECIMAL(2,2) AS d0, 9999999999999999999999::DECIMAL(38,0) AS d38, 0.1::DOUBLE AS f8, 0.1::FLOAT AS f4,
    'nan'::DOUBLE AS nan, 'infinity'::DATE AS never, DATE '2020-02-29' AS day, TIMESTAMP '2020-01-01 10:00:00.5' AS ts,
    TIMESTAMPTZ '2020-01-01 02:00:00+02' AS tz, '-infinity'::TIMESTAMPTZ AS no_tz, 'é"' || chr(0) AS s,
    '\\x00\\xFFab'::BLOB AS blob, '{"a": 1.500}'::JSON AS j, [1.0, NULL, 'nan'::DOUBLE] AS l, [DATE '2020-01-01'] AS ld,
    {'a': 0.5::DECIMAL(1,1), 'b c': ['x', NULL], 'c': TIMESTAMPTZ '2020-01-01 00:00:00+00'} AS st,
    MAP {1: ['x'], 2: NULL} AS m, [{'k': 'v"'}] AS ls, uuid() AS id4, TIME '10:00:00' AS t, INTERVAL '1 month' AS iv,
    'x'::ENUM ('x', 'y') AS e, 5::HUGEINT AS h, NULL AS nothing, [[1], NULL, []] AS ll, [1::UTINYINT] AS lu, ['q'] AS lt
UNION ALL BY NAME SELECT 2 AS id
"""
BIG = "SELECT range AS id, range % 7 AS g, hash(range)::VARCHAR AS s FROM range(200000)"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Twinned:
    made = Twinned(tmp_path_factory.mktemp("twins"))
    made.load("kinds", TYPES, ("id",))
    made.load("big", BIG, ("id",))
    return made


@pytest.fixture(scope="module")
def twins(data: Twinned) -> Iterator[Twins]:
    made = Twins(data.data_dir, 256, 1)
    yield made
    made.close()


def shown(value: object) -> bytes:
    """As the engine's answers have it; see engine.queries.query_program."""
    if isinstance(value, Decimal):
        return f"{value:f}".encode()
    if isinstance(value, datetime.datetime):
        text = value.replace(tzinfo=None).isoformat("T")
        return f'"{text.rstrip("0") if value.microsecond else text}{"Z" if value.tzinfo else ""}"'.encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return msgspec.json.encode(value)


def test_values_are_those_that_are_stored(data: Twinned, twins: Twins) -> None:
    names = [column.name for column in data.manifests["kinds"].columns]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.sql(f"SELECT * FROM '{data.place('kinds')}/rows.parquet' ORDER BY id")
        columns = list(zip(relation.columns, relation.types, strict=True))
        stored = [
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            for (text,) in connection.sql(f"SELECT {render.row_json(columns)} FROM relation").fetchall()
        ]
    rows = data.answer(twins, "SELECT * FROM kinds ORDER BY id")
    for row, expected in zip(rows, stored, strict=True):
        for name, value in zip(names, row, strict=True):
            found, wanted = shown(value), bytes(expected[name])
            same = found == wanted or (isinstance(value, float) and float(found) == float(wanted))
            assert same, f"{name}: {found!r} instead of {wanted!r}"


def test_values_no_twin_has_are_json_too(data: Twinned, twins: Twins) -> None:
    sql = """SELECT TIME '10:00:00' AS t, INTERVAL '1 month' AS i, 'x'::ENUM ('x') AS e, '101'::BIT AS b,
        5::UHUGEINT AS u, 170141183460469231731687303715884105727::HUGEINT AS h,
        TIMESTAMP_NS '2020-01-01 00:00:00.1' AS n, NULL AS z,
        [TIME '10:00:00'] AS lt, [1, 2]::INTEGER[2] AS a FROM kinds WHERE id = 1"""
    (row,) = data.answer(twins, sql)
    assert [shown(value) for value in row] == [
        b'"10:00:00"', b'"1 month"', b'"x"', b'"101"', b"5", b"170141183460469231731687303715884105727",
        b'"2020-01-01T00:00:00.1"', b"null", b'["10:00:00"]', b"[1,2]",
    ]  # fmt: skip


def test_the_form_of_each_value(data: Twinned, twins: Twins) -> None:
    (row,) = data.answer(twins, "SELECT i1, d2, f8, b, s, day, ts, tz, j, never FROM kinds WHERE id = 1")
    assert row == (
        7, Decimal("1.50"), 0.1, True, 'é"\0', datetime.date(2020, 2, 29),
        datetime.datetime(2020, 1, 1, 10, 0, 0, 500_000),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), msgspec.Raw(b'{"a": 1.500}'), None,
    )  # fmt: skip


def test_parameters_of_every_kind(data: Twinned, twins: Twins) -> None:
    by_day = "SELECT id FROM kinds WHERE day = :d AND tz >= :t"
    assert data.answer(twins, by_day, d="2020-02-29", t="2019-01-01T00:00:00Z") == [(1,)]
    leap, since = datetime.date(2020, 2, 29), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert data.answer(twins, by_day, d=leap, t=since) == [(1,)]
    some = "SELECT id FROM big WHERE id IN (:l) ORDER BY id LIMIT :n"
    assert data.answer(twins, some, l=[3, 1, 2], n=2) == [(1,), (2,)]
    assert data.answer(twins, some, l=[], n=2) == []
    assert data.answer(twins, "SELECT id FROM kinds WHERE d38 = :d", d=Decimal(9999999999999999999999)) == [(1,)]
    hostile = "x'; DROP VIEW kinds --"
    assert data.answer(twins, "SELECT id FROM kinds WHERE s = :s OR s IN (:many)", s=hostile, many=[hostile]) == []


def test_a_version_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    data = Twinned(tmp_path)
    first = data.load("t", "SELECT 1 AS id, 'one' AS v", ("id",))
    second = data.load("t", "SELECT 1 AS id, 'two' AS v", ("id",))
    twins, query = Twins(data.data_dir, 128, 1), data.compiled("SELECT v FROM t")
    for version, value in ((first, "one"), (second, "two"), (first, "one"), (second, "two")):
        assert list(twins.run(query, {"t": version}, {})) == [[(value,)]]
    with pytest.raises(StoreDown) as caught:
        list(twins.run(query, {"t": "20000101T000000Z-00000000"}, {}))
    assert str(tmp_path) not in caught.value.detail
    assert caught.value.retry_after_s == 1
    os.unlink(data.place("t") / "rows.parquet")
    with pytest.raises(StoreDown):
        list(twins.run(query, {"t": second}, {}))
    assert list(twins.run(query, {"t": first}, {})) == [[("one",)]]
    twins.close()


def test_a_twin_is_not_verified_in_the_time_of_a_query(tmp_path: Path) -> None:
    """That takes as long as the file is large; it was done before, or no query would be asked."""
    data = Twinned(tmp_path)
    data.load("t", "SELECT 1 AS id", ("id",))
    manifest = data.manifests["t"]
    false = msgspec.structs.replace(manifest.files[TWIN_FILE], chunks=("0" * 64,))
    file = data.place("t") / MANIFEST_FILE
    file.chmod(0o644)
    file.write_bytes(encode_manifest(msgspec.structs.replace(manifest, files={**manifest.files, TWIN_FILE: false})))
    twins = Twins(data.data_dir, 128, 1)
    assert data.answer(twins, "SELECT id FROM t") == [(1,)]
    twins.close()


def test_other_columns_are_another_plans(tmp_path: Path) -> None:
    """A * of the old columns over the new ones would put values under wrong names."""
    data = Twinned(tmp_path)
    data.load("t", "SELECT 1 AS id, 2 AS a, 3 AS b", ("id",))
    query = data.compiled("SELECT * FROM t")
    changed = data.load("t", "SELECT 1 AS id, 3 AS b, 2 AS a", ("id",))
    twins = Twins(data.data_dir, 128, 1)
    with pytest.raises(StoreDown, match="other columns"):
        list(twins.run(query, {"t": changed}, {}))
    assert data.answer(twins, "SELECT * FROM t") == [(1, 3, 2)]
    twins.close()


def test_rows_stream_in_bounded_memory(data: Twinned, twins: Twins) -> None:
    query = data.compiled("SELECT a.id, repeat(a.s, 8) AS s FROM big a, range(10) r")
    chunks = twins.run(query, data.versions, {})
    next(chunks)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_mb("VmRSS")
    sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == 2_000_000 - CHUNK_ROWS
    assert max(sizes) <= CHUNK_ROWS
    assert memory_mb("VmHWM") - before < 64, "300 MB went through"


def memory_mb(name: str) -> int:
    """Of this process, as the kernel counts it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) // 1024


def test_an_abandoned_answer_leaves_the_session_usable(data: Twinned, twins: Twins) -> None:
    chunks = twins.run(data.compiled("SELECT id FROM big"), data.versions, {})
    next(chunks)
    chunks.close()
    assert data.answer(twins, "SELECT count(*) AS n FROM big") == [(200_000,)]


def test_an_interrupt_ends_what_runs_and_nothing_else(data: Twinned, twins: Twins) -> None:
    twins.interrupt()
    timer = threading.Timer(0.1, twins.interrupt)
    timer.start()
    with pytest.raises(QueryTimeout):
        data.answer(twins, "SELECT count(*) AS n FROM big a, big b WHERE a.s < b.s")
    timer.join()
    chunks = twins.run(data.compiled("SELECT a.id FROM big a, big b WHERE a.s < b.s"), data.versions, {})
    next(chunks)
    twins.interrupt()
    with pytest.raises(QueryTimeout):
        list(chunks)
    assert data.answer(twins, "SELECT max(id) AS n FROM big") == [(199_999,)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT id // (id - id) AS x FROM big", "division by zero"),
        ("SELECT s::DATE AS x FROM big", "date"),
        ("SELECT 9223372036854775807 + id AS x FROM big WHERE id = 1", "overflow"),
        ("SELECT (SELECT id FROM big) AS x FROM kinds", "more than one row"),
    ],
)
def test_errors_are_the_callers_in_a_sentence(data: Twinned, twins: Twins, sql: str, said: str) -> None:
    with pytest.raises(QueryFailed) as caught:
        data.answer(twins, sql)
    assert said in caught.value.detail.lower()
    assert "Error" not in caught.value.detail
    assert "SET " not in caught.value.detail


def test_a_query_without_memory_says_which_limit_it_met(data: Twinned, twins: Twins) -> None:
    with pytest.raises(OutOfMemory) as caught:
        data.answer(twins, "SELECT list(repeat(s, 100)) AS x FROM big")
    assert (caught.value.code, caught.value.status) == ("out_of_memory", 422)
    limit = "the 256 MB it may have (executors.memory_mb)"
    assert caught.value.detail == f"the query needs more memory than {limit}; ask for less, or have the limit raised"
    assert data.answer(twins, "SELECT count(*) AS n FROM big") == [(200_000,)]


def test_a_value_that_is_none_is_refused(data: Twinned, twins: Twins) -> None:
    with pytest.raises(QueryFailed, match="LIMIT"):
        data.answer(twins, "SELECT id FROM big LIMIT :n", n=-1)
    with pytest.raises(QueryFailed, match="a text is no date") as caught:
        data.answer(twins, "SELECT id FROM kinds WHERE day = :d", d="2020-13-01")
    assert "2020-13-01" in caught.value.seen


@pytest.mark.parametrize("text", escapes.TEXTS)
def test_the_second_wall(data: Twinned, twins: Twins, text: str) -> None:
    """A plan that no compiler of ours made."""
    text = text.replace("{var}", str(data.data_dir))
    made = Analytical(sql=text, text=text, datasets=("big",), schemas=("",), columns=(OutputColumn("x", "BIGINT"),))
    with pytest.raises(Internal):
        list(twins.run(made, data.versions, {}))
    assert data.answer(twins, "SELECT count(*) AS n FROM big") == [(200_000,)]


def test_the_third_wall(data: Twinned, tmp_path: Path) -> None:
    """Were a text to pass all checks, DuckDB itself opens nothing and sets nothing."""
    outside = tmp_path / "secret.csv"
    outside.write_text("a\n1\n")
    twins = Twins(data.data_dir, 128, 1)
    for text in (
        f"SELECT * FROM read_csv('{outside}')",
        f"SELECT * FROM '{data.data_dir}/datasets/../../secret.csv'",
        f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/x.db'",
        "SET threads = 4",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM glob('/etc/*')",
    ):
        with pytest.raises(duckdb.Error):
            twins._session.execute(text).fetchall()
    twins.close()
