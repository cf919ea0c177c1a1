"""Routes: what is ready before a request comes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.histogram import Histogram
from engine.http.responses import LENGTHS_MAX
from engine.http.route import Route
from engine.limit import RateLimit
from engine.snapshot import open_snapshot
from tests.engine.making import DATE, VERSION, program_of, route_of
from tests.engine.wire import parse_answers

LATER = b"Tue, 24 Nov 2026 09:00:01 GMT"


@pytest.fixture
def route(airports_dir: Path) -> Iterator[Route]:
    route = route_of(airports_dir)
    yield route
    route.program.close()


@pytest.mark.parametrize("size", [2, LENGTHS_MAX - 1, LENGTHS_MAX, LENGTHS_MAX + 1, 100_000])
def test_an_answer_of_any_size(route: Route, size: int) -> None:
    data = b'"%b"' % (b"x" * (size - 2))
    [answer] = parse_answers(route.answer(data))
    assert (answer.status, answer.body) == (200, b'{"data":%b}' % data)


def test_provenance_on_answers_and_misses(route: Route) -> None:
    for message, status in ((route.answer(b"{}"), 200), (route.answer(b""), 404), (route.answer(None), 404)):
        [answer] = parse_answers(message)
        assert answer.status == status
        assert answer.headers["havok-version"] == f"airports@{VERSION}"
        assert answer.headers["havok-compartment"] == "travel-high"
        assert answer.headers["date"] == DATE.decode()
        assert status == 200 or answer.code == "not_found"


def test_the_date_is_stamped(route: Route) -> None:
    before = route.answer(b"{}"), route.answer(None)
    route.stamp(LATER)
    after = route.answer(b"{}"), route.answer(None)
    assert after == tuple(message.replace(DATE, LATER) for message in before)
    assert after != before


def test_workers_share_the_rate(airports_dir: Path) -> None:
    def limit_of(rps: float, burst: int, workers: int) -> tuple[int, int]:
        program = program_of(open_snapshot(airports_dir), rate_limit={"rps": rps, "burst": burst})
        limit = Route(program, DATE).limit
        assert limit is not None
        limit.share(workers)
        admitted = sum(limit.admit(10**10) for _ in range(burst + 1))
        waited = next(wait for wait in range(0, 10**10, 10**7) if limit.admit(10**10 + wait))
        program.close()
        return admitted, waited // 10**7

    assert limit_of(10, 4, 1) == (4, 10)
    assert limit_of(10, 4, 2) == (2, 20)
    assert limit_of(10, 1, 4) == (1, 40)


def test_a_histogram_outlives_the_programs_it_counts(airports_dir: Path) -> None:
    histogram = Histogram()
    for count in (1, 2):
        program = program_of(open_snapshot(airports_dir))
        route = Route(program, DATE, histogram=histogram)
        route.linear[3] += 1
        assert route.histogram.count == count
        program.close()


def test_a_swap_gives_nobody_a_new_burst() -> None:
    spent = RateLimit(10, 1)
    assert spent.admit(0)
    assert spent.same_as(RateLimit(10, 1))
    assert not spent.same_as(RateLimit(10, 2))
    assert not spent.same_as(RateLimit(20, 1))
    assert not spent.admit(1)
