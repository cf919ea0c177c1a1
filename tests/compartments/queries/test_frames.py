"""What crosses between a worker and an executor, and what becomes of it on the other side."""

import datetime
from decimal import Decimal

import pytest

from compartments.queries import frames
from engine.analysis.analytical import Analytical
from engine.column import OutputColumn
from havok.errors import HavokError, Internal, QueryTimeout, StoreDown


def test_a_request_crosses_whole() -> None:
    query = Analytical("s", "t", ("d",), ("i",), (OutputColumn("a", "BIGINT"),))
    values = {"d": Decimal("1.50"), "h": 1 << 100, "day": datetime.date(2020, 2, 29), "l": (1, None, 1 << 64)}
    plain = {name: frames.plain(value) for name, value in values.items()}
    assert plain == {"d": "1.50", "h": str(1 << 100), "day": "2020-02-29", "l": [1, None, str(1 << 64)]}
    ask = frames.Ask(7, query, {"d": "v"}, plain, "application/json", False)
    content = frames.frame(ask)
    assert frames.LENGTH.unpack_from(content) == (len(content) - frames.LENGTH.size,)
    assert frames.decode_down(content[frames.LENGTH.size :]) == ask


@pytest.mark.parametrize("error", [QueryTimeout("late"), StoreDown("gone", retry_after_s=1), Internal("what")])
def test_an_error_is_its_own_class_again(error: HavokError) -> None:
    made = frames.rebuilt(frames.End(1, error.code, error.detail, error.retry_after_s))
    assert (type(made), made.detail, made.retry_after_s) == (type(error), error.detail, error.retry_after_s)


def test_an_error_nobody_knows_is_internal() -> None:
    assert type(frames.rebuilt(frames.End(1, "what", "x"))) is Internal
