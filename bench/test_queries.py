"""SQL services in process: a call answered whole, without HTTP, and a service made anew.

Each call is another one of the workload, as over HTTP.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.deployment import deployer, made, snapshots
from bench.questions import DEPARTURES, PLANE_HISTORY, POINT, ROUTE_DELAYS, Question, questions
from engine.forms.media import JSON
from engine.http.call import Call
from engine.snapshot import Snapshot

_NEVER_NS = 1 << 62


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, small: bool) -> Iterator[dict[str, Snapshot]]:
    with snapshots(tmp_path_factory.mktemp("datasets"), small=small) as found:
        yield found


def _call(question: Question, number: int) -> Call:
    return Call({name: str(value) for name, value in question.calls[number].items()}, JSON, texts=True)


@contextmanager
def _asking(service: str, opened: Mapping[str, Snapshot]) -> Iterator[Callable[[], bytes]]:
    """→ a function that answers the next call."""
    program = made(service, opened)
    question = questions()[service]
    numbers = cycle(range(len(question.calls)))

    def ask() -> bytes:
        call = _call(question, next(numbers))
        if (data := program.at_once(call)) is not None:
            return data
        running = program.start(call)
        body = b""
        while not running.done:
            body += running.step(_NEVER_NS)
        running.close()
        return body

    try:
        yield ask
    finally:
        program.close()


@pytest.mark.parametrize("service", [DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS])
def test_answer(benchmark: BenchmarkFixture, opened: dict[str, Snapshot], service: str) -> None:
    with _asking(service, opened) as ask:
        assert "data" in msgspec.json.decode(benchmark(ask))


def test_point_by_sql(benchmark: BenchmarkFixture, opened: dict[str, Snapshot]) -> None:
    with _asking(POINT, opened) as ask:
        assert isinstance(msgspec.json.decode(benchmark(ask)), list)


@pytest.mark.parametrize("service", [POINT, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS])
def test_compiling_and_swapping(benchmark: BenchmarkFixture, opened: dict[str, Snapshot], service: str) -> None:
    with deployer(opened) as deploy:
        benchmark(deploy, service)
