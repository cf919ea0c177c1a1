"""What TOML itself refuses is told as a person would have written it."""

from pathlib import Path

import pytest

from havok.config import read_settings, syntax


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[services.airport]\n[services.airport]\n", "line 2, column 18: [services.airport] stands there twice"),
        ("[datasets.'a b']\n[datasets.'a b']\n", '[datasets."a b"] stands there twice: make one of the two'),
        (
            "[datasets.f]\nindexes = { by_x = ['x'] }\nindexes.by_y = ['y']\n",
            "datasets.f.indexes stands there as { … } already: write this inside it, or each of its keys on a line",
        ),
    ],
)
def test_what_stands_there_twice(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "havok.toml"
    path.write_text(text)
    (fault,) = read_settings(path).faults
    assert said in fault.reason


def test_what_is_not_known_is_passed_on() -> None:
    assert syntax("Something else (at line 3, column 4)") == "line 3, column 4: something else"
    assert syntax("Something else") == "Something else"
