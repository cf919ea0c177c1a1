"""Pools that come and go with the limits that services have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from compartments.queries.executors import Executors
from compartments.queries.pools import Pools
from havok.settings import ExecutorSettings
from tests.compartments.loops import Driver, driver
from tests.compartments.querying import JSON, SLOW, make_data
from tests.engine.twinning import Twinned

OLD = ExecutorSettings(memory_mb=128)
NEW = ExecutorSettings(memory_mb=128, timeout_s=20.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Twinned:
    return make_data(tmp_path_factory.mktemp("data"))


@contextmanager
def pools(data_dir: Path) -> Iterator[tuple[Driver, Pools]]:
    with driver() as drive:
        made = Pools(data_dir, drive.loop)
        yield drive, made
        drive.loop.run_until_complete(made.close())
        assert drive.unhandled == []


def of(drive: Driver, made: Pools, settings: ExecutorSettings) -> Executors:
    async def get() -> Executors:
        return made.of(settings)

    return drive.loop.run_until_complete(get())


def test_the_same_limits_are_the_same_pool(data: Twinned) -> None:
    with pools(data.data_dir) as (drive, made):
        old = of(drive, made, OLD)
        assert of(drive, made, OLD) is old
        assert of(drive, made, NEW) is not old
        made.keep([NEW])
        assert of(drive, made, OLD) is not old


def test_a_pool_that_ends_is_seen_until_its_last_query_is_done(data: Twinned) -> None:
    with pools(data.data_dir) as (drive, made):
        old = of(drive, made, OLD)
        query = data.compiled(SLOW)

        async def ask() -> None:
            answers.append(old.run("slow", query, data.versions, {}, JSON, False))

        answers = []
        for _ in range(2):
            drive.loop.run_until_complete(ask())
        drive.until(lambda: made.gauges and made.gauges[0].state == "busy", 20, "one runs")
        process = psutil.Process(made.gauges[0].pid)
        made.keep([])
        drive.turn()
        assert [gauge.state for gauge in made.gauges] == ["busy"]
        assert made.queries["waiting"] == 1
        for answer in answers:
            answer.close()
        drive.until(lambda: made.gauges == (), 20, "it has ended")
        assert not process.is_running()
        assert made.queries["abandoned"] == 2


def test_one_that_ends_while_all_do_leaves_no_process(data: Twinned) -> None:
    with pools(data.data_dir) as (drive, made):
        old = of(drive, made, OLD)
        query = data.compiled(SLOW)

        async def ask() -> None:
            old.run("slow", query, data.versions, {}, JSON, False)

        drive.loop.run_until_complete(ask())
        drive.until(lambda: made.gauges and made.gauges[0].state == "busy", 20, "it runs")
        process = psutil.Process(made.gauges[0].pid)
        made.keep([])
        drive.loop.run_until_complete(made.close())
        assert not process.is_running()
