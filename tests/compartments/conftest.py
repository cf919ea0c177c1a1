"""Nodes to test on; every one is ended with its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compartments.loops import driver
from tests.compartments.node import Node
from tests.compartments.workbench import Bench


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Two compartments of one worker each, service `a` in `one` and `b` in `two`, nothing loaded, not started."""
    with Node(tmp_path) as made:
        yield made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with driver() as drive:
        made = Bench(drive, tmp_path)
        yield made
        made.close()
        assert drive.unhandled == []
