"""pyarrow reads a stream as DuckDB exports the same table."""

import random
import subprocess
import sys

import msgspec
import pyarrow as pa
import pytest

from engine.forms.media import ARROW
from engine.forms.rendering import Renderings
from havok.errors import QueryFailed
from tests.engine.typed_rows import OPAQUE, Table, answer_of, body


def read(content: bytes) -> pa.Table:
    table = pa.ipc.open_stream(content).read_all()
    table.validate(full=True)
    return table


@pytest.mark.parametrize("form", ["stored", "typed"])
def test_equals_duckdb(dice: random.Random, form: str) -> None:
    table = Table(dice, 70, far=form == "stored")
    rows = table.stored() if form == "stored" else table.typed()
    found = read(body(table.forms, ARROW, [rows[:9], rows[9:17], rows[17:]]))
    expected = table.db.sql(table.finite()).to_arrow_table()
    assert found.column_names == expected.column_names
    for column in table.columns:
        mine, theirs = found.column(column.name), expected.column(column.name)
        if column.name in OPAQUE:
            assert mine.type == pa.string()
            assert mine.to_pylist() == [None if text == "null" else text for text in table.shown(column)]
        else:
            assert mine.type == theirs.type, column
            assert mine.combine_chunks().equals(theirs.combine_chunks()), column
        assert found.schema.field(column.name).nullable


def test_one_batch_for_each_list() -> None:
    answer, forms = answer_of(("a", "BIGINT"))
    lists = [[answer.row(1), answer.row(2)], [], [answer.row(None)]]
    reader = pa.ipc.open_stream(body(forms, ARROW, lists, cursor="c", meta=True))
    assert [batch.to_pylist() for batch in reader] == [[{"a": 1}, {"a": 2}], [{"a": None}]]


def test_an_empty_answer_has_its_schema() -> None:
    _, forms = answer_of(("a", "BIGINT"), ("b", "VARCHAR"))
    found = read(body(forms, ARROW, []))
    assert (found.num_rows, found.schema) == (0, pa.schema([("a", pa.int64()), ("b", pa.string())]))


@pytest.mark.parametrize("name", ['"', "\\", "\n", "naïve", "", "a b", "🦆"])
def test_any_name(name: str) -> None:
    answer, forms = answer_of(("other", "NULL"), (name, "INTEGER"))
    assert read(body(forms, ARROW, [[answer.row(None, 1)]])).to_pylist() == [{"other": None, name: 1}]


def test_a_39th_digit_is_refused() -> None:
    answer, forms = answer_of(("n", "HUGEINT"))
    rendering = forms.begin(ARROW)
    rendering.start()
    for value in (10**38, -(10**38), msgspec.Raw(b"170141183460469231731687303715884105727")):
        with pytest.raises(QueryFailed, match="more than 38 digits"):
            rendering.rows([answer.row(value)])


def test_a_stream_can_be_left() -> None:
    answer, _ = answer_of(("a", "VARCHAR"))
    for _ in range(100):
        rendering = Renderings(answer).begin(ARROW)
        rendering.start()
        rendering.rows([answer.row("x")])


def test_libraries_are_loaded_when_asked_for() -> None:
    code = (
        "import sys; from engine import plan; from engine.forms import answer, rendering\n"
        "known = {'nanoarrow', 'pyarrow', 'numpy'}\n"
        "forms = rendering.Renderings(answer.Answer([plan.OutputColumn('a', 'BIGINT')]))\n"
        "print(sorted(known & sys.modules.keys())); forms.begin('application/vnd.apache.arrow.stream').start()\n"
        "print(sorted(known & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n['nanoarrow']\n", "")
