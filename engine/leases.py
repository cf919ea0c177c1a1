"""A program's hold on the snapshots it reads.

Rule: as long as it is open, or an answer begun with it is not done, its versions stay: one
answer is of one version of everything from its first row to its last.
"""

from collections.abc import Mapping, Sequence

from engine.snapshot import Snapshot


class Leases:
    def __init__(self, datasets: Sequence[str], snapshots: Mapping[str, Snapshot]) -> None:
        self.snapshots = tuple(snapshots[name] for name in datasets)
        self.closed = False
        self._answers = 0
        for snapshot in self.snapshots:
            snapshot.acquire()

    @property
    def versions(self) -> dict[str, str]:
        return {snapshot.dataset: snapshot.version for snapshot in self.snapshots}

    def begin(self) -> None:
        """An answer is begun; `end` must follow."""
        assert not self.closed or self._answers, "nothing begins with a closed program"
        self._answers += 1

    def end(self) -> None:
        self._answers -= 1
        self._release()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._release()

    def _release(self) -> None:
        if self.closed and not self._answers:
            for snapshot in self.snapshots:
                snapshot.release()
