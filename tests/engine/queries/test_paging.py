"""Pages of random queries over random tables, cursors that were never given among them."""

from collections.abc import Iterator

import pytest

from tests.engine.oracle import Oracle
from tests.engine.paging_properties import SERVICES_PER_EXAMPLE, Paging
from tests.engine.properties import hold, wanted

SERVICES = 150  # in CI


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


@pytest.mark.timeout(900)  # a failure is shrunk
def test_pages_are_the_whole_answer(oracle: Oracle) -> None:
    paging = Paging(oracle)
    services, seed = wanted(SERVICES)
    hold(paging.check, max(1, services // SERVICES_PER_EXAMPLE), seed)
    print(dict(paging.went))
    assert paging.went["rows"] > services / 10
    assert paging.went["grouped"] > services / 20
