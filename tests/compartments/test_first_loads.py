"""Which datasets are loaded unasked."""

import asyncio
import sys
from pathlib import Path

from compartments.first_loads import FirstLoads, changed
from havok.settings import DatasetSettings, Settings
from tests import snapshots

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


def test_what_is_asked_for_and_has_a_source_and_no_version_one_by_one(tmp_path: Path) -> None:
    snapshots.point(tmp_path, "loaded", snapshots.build(tmp_path, "loaded", {"k": {"v": "1"}}, 1))
    noted = tmp_path / "noted"
    loads = FirstLoads([sys.executable, "-c", NOTE, str(noted)], tmp_path, lambda: SETTINGS)

    async def both() -> None:
        await asyncio.gather(loads.run(["first", "loaded", "second", "sourceless"]), loads.run(["gone"]))

    asyncio.run(both())
    assert noted.read_text().split() == ["second", "first"]
    assert loads.loading is None


def test_what_changed_is_what_is_new_or_set_otherwise() -> None:
    other = DatasetSettings(key=("id",), source="e.csv")
    after = Settings(datasets={"loaded": SETTINGS.datasets["loaded"], "first": other, "new": other})
    assert changed(SETTINGS, after) == {"first", "new"}
    assert changed(SETTINGS, SETTINGS) == set()
