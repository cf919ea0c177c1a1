"""The questions put to all, and when two answers are the same."""

import msgspec
import pytest

from bench.questions import DEPARTURES, POINT, ROUTE_DELAYS, Question, questions, same_answer

ROW = {"sched_dep_time": 900, "carrier": "AA"}
PAGE: list[dict[str, object]] = [{"sched_dep_time": 901, "carrier": f"{number:02}"} for number in range(19)]


def body(*rows: dict[str, object]) -> bytes:
    return msgspec.json.encode({"data": rows, "next": "x"})


def departures() -> Question:
    return questions()[DEPARTURES]


def test_parameters_are_spelt_as_each_database_has_them() -> None:
    question = questions()[ROUTE_DELAYS]
    assert question.params == ("origin", "year", "month")
    assert "origin = $1 AND year = $2 AND month = $3" in question.sql(numbered=True)
    assert "origin = $origin AND year = $year AND month = $month" in question.sql(numbered=False)


def test_every_call_has_a_value_for_every_parameter() -> None:
    for question in questions().values():
        assert len(question.calls) >= 36
        assert all(tuple(call) == question.params for call in question.calls)


def test_another_service_may_be_asked_the_same() -> None:
    question = questions()[POINT]
    assert question.target(0, "flight_brief").startswith("/v1/flight_brief?origin=")
    assert len(question.requests()) == len(question.calls)


@pytest.mark.parametrize(
    ("mine", "other", "same"),
    [
        ([], [], True),
        ([ROW], [], False),
        ([{"sched_dep_time": 905, "carrier": "AA"}, ROW], [{"sched_dep_time": 905, "carrier": "BB"}, ROW], False),
        ([{"sched_dep_time": 905, "carrier": None}, ROW], [{"sched_dep_time": 905, "carrier": ""}, ROW], False),
        ([ROW, ROW], [{"sched_dep_time": 901, "carrier": "AA"}, ROW], False),
        ([ROW], [{"sched_dep_time": 900, "carrier": "BB"}], False),
        ([*PAGE, ROW], [*PAGE, {"sched_dep_time": 900, "carrier": "BB"}], True),  # LIMIT ended it among its like
        ([*PAGE, ROW], [*reversed(PAGE), ROW], True),
        ([{"sched_dep_time": 901, "x": 0.1 + 0.2}, ROW], [{"sched_dep_time": 901, "x": 0.3}, ROW], True),
        ([{"sched_dep_time": 901, "x": 0.31}, ROW], [{"sched_dep_time": 901, "x": 0.3}, ROW], False),
    ],
)
def test_same_answer(mine: list[dict[str, object]], other: list[dict[str, object]], same: bool) -> None:
    assert same_answer(departures(), body(*mine), body(*other)) is same
