"""Which datasets are loaded unasked."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from compartments.versions import first_loads
from compartments.versions.first_loads import FirstLoads, changed_datasets
from havok.layout import dataset_dir
from havok.settings import DatasetSettings, Settings
from tests import snapshots
from tests.compartments.deadline import until

SETTINGS = Settings(
    datasets={
        "loaded": DatasetSettings(key=("id",), source="a.csv"),
        "sourceless": DatasetSettings(key=("id",)),
        "second": DatasetSettings(key=("id",), source="b.csv"),
        "first": DatasetSettings(key=("id",), source="c.csv"),
        "unasked": DatasetSettings(key=("id",), source="d.csv"),
    }
)
NOTE = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"
NOTE_AND_FAIL = f"{NOTE}; sys.exit(sys.argv[2] != 'second')"
STANDS_STILL = f"{NOTE}; import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
DOES_NOT_OBEY = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {NOTE}; signal.pause()"


def noting(directory: Path, script: str) -> tuple[FirstLoads, Path]:
    noted = directory / "noted"
    noted.touch()
    return FirstLoads([sys.executable, "-c", script, str(noted)], directory, lambda: SETTINGS), noted


async def ask(loads: FirstLoads, *names: str) -> None:
    loads.ask(names)
    await loads.run()


def test_what_is_asked_for_and_has_a_source_and_no_version_one_by_one(tmp_path: Path) -> None:
    snapshots.point(tmp_path, "loaded", snapshots.build(tmp_path, "loaded", {"k": {"v": "1"}}, 1))
    loads, noted = noting(tmp_path, NOTE)

    async def both() -> None:
        await asyncio.gather(ask(loads, "first", "loaded", "second", "sourceless"), ask(loads, "gone"))

    asyncio.run(both())
    assert noted.read_text().split() == ["second", "first"]
    assert loads.loading is None
    assert loads.failed == set()


def test_it_is_known_what_is_to_come_and_what_failed(tmp_path: Path) -> None:
    loads, _ = noting(tmp_path, NOTE_AND_FAIL)
    loads.ask(["first", "second", "sourceless"])
    assert [name for name in SETTINGS.datasets if loads.awaits(name)] == ["second", "first"]
    asyncio.run(loads.run())
    assert not any(loads.awaits(name) for name in SETTINGS.datasets)
    assert loads.failed == {"first"}


def test_what_is_asked_for_often_is_tried_once_more(tmp_path: Path) -> None:
    loads, noted = noting(tmp_path, NOTE_AND_FAIL)

    async def often() -> None:
        await asyncio.gather(*(ask(loads, "first") for _ in range(5)))

    asyncio.run(often())
    assert noted.read_text().split() == ["first"] * 2, "for the one who asked, and for all who did since it began"


def test_one_that_cannot_be_begun_does_not_keep_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loads, noted = noting(tmp_path, NOTE)
    begin, refused = asyncio.create_subprocess_exec, []

    async def no_process_for_the_second(*arguments: str, **more: Any) -> asyncio.subprocess.Process:
        if arguments[-1] == "second":
            refused.append(arguments[-1])
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return await begin(*arguments, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process_for_the_second)
    (dataset_dir(tmp_path, "unasked") / "CURRENT").mkdir(parents=True)
    asyncio.run(ask(loads, "first", "second", "unasked"))
    assert refused == ["second"]
    assert noted.read_text().split() == ["first"]
    assert loads.failed == {"second"}
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "dataset unasked", "dataset second could not be loaded",
    ]  # fmt: skip


@pytest.mark.parametrize("script", [STANDS_STILL, DOES_NOT_OBEY])
def test_a_load_that_does_not_end_is_killed_with_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(first_loads, "END_S_MAX", 0.2)
    loads, noted = noting(tmp_path, script)

    async def begin_and_end() -> psutil.Process:
        running = asyncio.create_task(ask(loads, "first"))
        await asyncio.to_thread(until, lambda: noted.read_text().endswith("\n"))
        (child,) = psutil.Process().children()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return child

    assert not asyncio.run(begin_and_end()).is_running()
    assert loads.loading is None


def test_what_changed_is_what_is_new_or_set_otherwise() -> None:
    other = DatasetSettings(key=("id",), source="e.csv")
    after = Settings(datasets={"loaded": SETTINGS.datasets["loaded"], "first": other, "new": other})
    assert changed_datasets(SETTINGS, after) == {"first", "new"}
    assert changed_datasets(SETTINGS, SETTINGS) == set()
