"""The node stages before the pointer is swapped, and hears of it after."""

from havok.errors import NodeError
from loader import journal
from tests.loader.conftest import Desk, Recorder


def test_the_node_stages_before_the_swap_and_hears_after_it(desk: Desk) -> None:
    class Watching(Recorder):
        def stage(self, dataset: str, version: str) -> None:
            self.seen.append(f"stage, {'live' if desk.live == version else 'placed'}")

        def announce(self, dataset: str, version: str) -> None:
            self.seen.append(f"announce, {'live' if desk.live == version else 'placed'}")

    node = Watching()
    desk.load("SELECT 1 AS id", node=node)
    assert node.seen == ["accept", "stage, placed", "announce, live"]


def test_a_failed_announcement_is_a_warning(desk: Desk) -> None:
    result = desk.load("SELECT 1 AS id", node=Recorder({"announce": NodeError("the node is busy")}))
    assert result.activated
    assert desk.live == result.version
    assert "did not take it over: the node is busy" in result.warnings[0]
    assert [entry.version for entry in journal.read(desk.data_dir, "things")] == [result.version]
