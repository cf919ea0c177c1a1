"""The swap benchmark must find what it says it would find."""

import duckdb
import msgspec
import pytest

from bench.arrivals import Answer, Observation
from bench.swap import COLUMNS, mixed_answers, source

NUMBERS = {"20261123T030405Z-00000001": 1, "20261123T030406Z-00000002": 2}


def answer(version: str, numbers: list[int]) -> Answer:
    row = {"id": 7, **{f"c{index}": number for index, number in enumerate(numbers)}}
    return Answer(f"numbers@{version}".encode(), msgspec.json.encode({"data": row}))


def observed(*answers: Answer) -> Observation:
    seen = Observation()
    seen.answers.update(answers)
    return seen


def test_whole_answers_of_both_versions_pass() -> None:
    seen = observed(*(answer(version, [number] * COLUMNS) for version, number in NUMBERS.items()))
    assert mixed_answers(seen, NUMBERS) == 0


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("20261123T030405Z-00000001", [1] * (COLUMNS - 1) + [2]),
        ("20261123T030405Z-00000001", [2] * COLUMNS),
        ("20261123T030405Z-00000001", [1] * (COLUMNS - 1)),
        ("20261123T030407Z-00000003", [1] * COLUMNS),
        ("", [1] * COLUMNS),
    ],
    ids=["two versions in one row", "row of another version", "column missing", "unknown version", "no header"],
)
def test_mixed_answers_are_counted(version: str, numbers: list[int]) -> None:
    mixed = answer(version, numbers)
    assert mixed_answers(observed(mixed, mixed), NUMBERS) == 2


def test_source_has_the_number_in_every_column() -> None:
    with duckdb.connect() as db:
        rows = db.execute(source(5, 3)).fetchall()
    assert sorted(rows) == [(key, *[5] * COLUMNS) for key in range(3)]
