"""Who goes when there are too many."""

from dataclasses import dataclass

from compartments.processes.staffing import surplus


@dataclass
class Someone:
    name: str
    was_ready: bool = True
    silent: bool = False
    report: object | None = "well"


def names(present: list[Someone], wanted: int) -> list[str]:
    return [process.name for process in surplus(present, wanted)]


def test_nobody_goes_while_there_are_not_too_many() -> None:
    assert names([], 1) == []
    assert names([Someone("a")], 1) == []


def test_the_oldest_stay() -> None:
    assert names([Someone("a"), Someone("b"), Someone("c")], 1) == ["b", "c"]


def test_who_serves_stays_before_who_is_older() -> None:
    assert names([Someone("a", silent=True), Someone("b")], 1) == ["a"]
    assert names([Someone("a", was_ready=False), Someone("b")], 1) == ["a"]


def test_all_stay_until_each_has_said_how_it_is_or_kept_silent() -> None:
    assert names([Someone("a", report=None), Someone("b")], 1) == []
    assert names([Someone("a", report=None, silent=True), Someone("b")], 1) == ["a"]
