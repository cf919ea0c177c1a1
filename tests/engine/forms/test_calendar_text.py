"""Stored dates of any year mean the days that DuckDB means."""

import datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.forms.calendar_text import days_of, moment_us


@given(st.datetimes())
def test_python_agrees_where_it_has_the_year(moment: datetime.datetime) -> None:
    assert moment_us(moment.isoformat()) == (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(
        microseconds=1
    )
    assert days_of(moment.date().isoformat()) == (moment.date() - datetime.date(1970, 1, 1)).days


def test_duckdb_agrees_on_the_others() -> None:
    day = "(DATE '1970-01-01' + (i * 104729 + i % 977)::INTEGER)"
    moment = "make_timestamp(i * 9000000000000007 + i)"
    found = duckdb.sql(f"SELECT {day}::VARCHAR, {day} - DATE '1970-01-01' FROM range(-1000, 1000) r(i)").fetchall()
    assert [days_of(text) for text, _ in found] == [days for _, days in found]
    query = f"SELECT replace({moment}::VARCHAR, ' ', 'T'), epoch_us({moment}) FROM range(-1000, 1000) r(i)"
    for text, expected in duckdb.sql(query).fetchall():
        assert moment_us(text) == moment_us(text + "Z") == expected


@pytest.mark.parametrize("text", ["", "2013", "2013-01-01T", "x2013-01-01", "2013-01-01T00:00:00+01:00"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        moment_us(text)
