"""What a supervisor finds when it starts: processes that another one left, and their ports.

Rule: what serves on is taken over, not started anew. Only processes that would not understand
this code are ended.
"""

import logging
import socket
from collections.abc import Mapping
from pathlib import Path

from compartments.processes.listeners import borrow, lending_path
from compartments.processes.roster import Roster, end_recorded, read_roster

log = logging.getLogger(__name__)

_ENDED_S_MAX = 15.0  # a drain, and then some


def left_behind(data_dir: Path) -> Roster | None:
    """The processes of an earlier supervisor of this data directory; None when there are none to go on with. Blocks."""
    left = read_roster(data_dir)
    if left is None or not left.processes:
        return None
    if left.is_understood:
        return left
    ended = end_recorded(data_dir, _ENDED_S_MAX)
    log.warning("ended %d processes of another version of Havok, which speak another protocol", ended)
    return None


def held_listeners(left: Roster | None, inherited: Mapping[str, int]) -> dict[str, socket.socket]:
    """Listening sockets that are there already, by address: inherited, or held by processes that were left. Blocks."""
    found = {address: socket.socket(fileno=fd) for address, fd in inherited.items()}
    if left is not None and not found:
        found = borrow(lending_path(entry.inbox) for entry in left.processes)
    return found
