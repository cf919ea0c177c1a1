"""The record of a node's processes, for the next supervisor on the same data directory.

Rule: a process is known by its pid and by when it started, in the kernel's ticks since boot:
no step of the clock changes them, and no other process has both. What was recorded before
the machine was booted again is nobody. The first two fields of an entry never change their
place, so that any later version can at least end what an earlier one left.
"""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import psutil

from havok.layout import run_dir
from havok.messages import PROTOCOL

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A process as it was when it was recorded; see `compartments.processes.member`."""

    pid: Annotated[int, msgspec.Meta(gt=1)]
    ticks: int
    name: str = ""
    compartment: str = ""
    inbox: str = ""
    code: str = ""
    ready: bool = False
    addresses: tuple[str, ...] = ()  # whose listening sockets it holds


class Roster(msgspec.Struct, frozen=True):
    """`boot`: of the machine, since when ticks count."""

    protocol: int
    boot: str
    processes: tuple[Entry, ...]

    @property
    def is_understood(self) -> bool:
        """Whether these processes and this code speak the same over the bus."""
        return self.protocol == PROTOCOL


_decode = msgspec.json.Decoder(Roster).decode


def start_ticks(pid: int) -> int:
    """When it started (proc(5), field 22 of stat). Raises ProcessLookupError, also of one that only waits for its
    parent to take note of its end."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    if state in "ZX":
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[18])


def write_roster(data_dir: Path, processes: Iterable[Entry]) -> None:
    """A disk that is full must not end the watch over processes: it is logged."""
    path = _path(data_dir)
    temporary = path.with_suffix(".new")
    try:
        temporary.write_bytes(msgspec.json.encode(Roster(PROTOCOL, _boot(), tuple(processes))))
        temporary.rename(path)
    except OSError as error:
        log.warning("the processes of this node are not on record: %s", error.strerror)


def read_roster(data_dir: Path) -> Roster | None:
    """With those processes that are still there; None when there is no record that can be read."""
    try:
        found = _decode(_path(data_dir).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    living = tuple(entry for entry in found.processes if found.boot == _boot() and is_there(entry))
    return msgspec.structs.replace(found, processes=living)


def end_recorded(data_dir: Path, wait_s: float) -> int:
    """Ends what is on record and still there; how many that were. The record is used once."""
    roster = read_roster(data_dir)
    processes = []
    for entry in roster.processes if roster else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(entry.pid))
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        _, alive = psutil.wait_procs(processes, timeout=wait_s)
        if not alive:
            break
    _path(data_dir).unlink(missing_ok=True)
    return len(processes)


def is_there(entry: Entry) -> bool:
    """Whether it still runs: it, and not another one of the same number."""
    try:
        return start_ticks(entry.pid) == entry.ticks
    except (ProcessLookupError, PermissionError):
        return False
    except OSError:  # out of descriptors: that says nothing of the process
        return True


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _path(data_dir: Path) -> Path:
    return run_dir(data_dir) / "processes.json"
