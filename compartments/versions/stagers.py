"""Who staged a version, so that what a killed command left staged can be forgotten.

Rule: a process is known by its handle, never by its number alone, which may be another's by now.
"""

import psutil


class Stagers:
    """Of each dataset, the process that had a version staged last."""

    def __init__(self) -> None:
        self._of: dict[str, psutil.Process | None] = {}  # None: gone already

    def forget(self, dataset: str) -> None:
        self._of.pop(dataset, None)

    def note(self, dataset: str, stager: psutil.Process | None) -> None:
        self._of[dataset] = stager

    def take_gone(self) -> list[str]:
        """Datasets whose stager has ended; each is named once."""
        gone = [dataset for dataset, stager in self._of.items() if not _is_there(stager)]
        for dataset in gone:
            del self._of[dataset]
        return gone


def handle(pid: int) -> psutil.Process | None:
    """Who runs under a number now."""
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _is_there(stager: psutil.Process | None) -> bool:
    """Whether it still runs: it, and not another one of the same number."""
    try:
        return stager is not None and stager.is_running() and stager.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
