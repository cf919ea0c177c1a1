"""The benchmark of refusals, small: every row is measured, in every state."""

from pathlib import Path

from bench.shedding import BATCH, FREE, GET, MEASURED, REFUSED, TRACED, measure
from bench.snapshots import loaded
from bench.workload import AIRPORTS, read_workload


def test_every_row_is_measured_in_every_state(tmp_path: Path) -> None:
    snapshot = loaded(tmp_path, "airports", ("faa",), str(AIRPORTS))
    try:
        found = measure(read_workload(), snapshot, rounds=2, ticks=2)
    finally:
        snapshot.release()
    assert set(found) == {(name, state) for name in (GET, TRACED, BATCH) for state in (FREE, MEASURED, REFUSED)}
    assert all(took > 0.5 for took in found.values())
    assert found[BATCH, REFUSED] < found[BATCH, FREE] / 2
