"""A person with a project, alone in a directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.person import Person


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """Two tables, two services in two compartments; nothing is loaded, nothing runs."""
    with Person(tmp_path) as made:
        yield made
