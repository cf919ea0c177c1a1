"""A person with a project, before the first load, after it, and with a node running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.person import Person, Served


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """A project of two tables and two services; nothing is loaded, nothing runs."""
    with Person(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """The same for a whole module, with both tables loaded; tests must leave it serviceable."""
    with Person(tmp_path_factory.mktemp("project")) as made:
        made.loaded("things")
        made.loaded("places")
        yield made


@pytest.fixture(scope="module")
def node(owner: Person) -> Served:
    """The owner's node, serving."""
    return owner.serve()
