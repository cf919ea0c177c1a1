"""`havok restart`, `havok upgrade`, `havok scale`: what is done to a running node's processes.

Rule: asks the node and waits until it is done, or says what stands in the way.
"""

import time
from typing import Any

from console import terminal
from console.node import Node, is_running
from console.workplace import Workplace
from havok import messages
from havok.errors import NodeError

RENEWAL_S_MAX = 3600.0  # one process after another, each hashes what it serves before it does
_POLL_S = 0.1
_BACK_S_MAX = 60.0  # a supervisor that was replaced answers again within; it imports and adopts


def restart(place: Workplace, *, as_json: bool) -> None:
    """Raises NodeError."""
    with Node(place.data_dir) as node:
        done = node.request(messages.RestartRequest(), RENEWAL_S_MAX)
    if as_json:
        terminal.print_json(done)
    else:
        terminal.say(f"{done['processes']} processes were replaced, one after another")


def scale(place: Workplace, request: messages.ScaleRequest, *, as_json: bool) -> None:
    """Raises NodeError."""
    name = request.compartment
    with Node(place.data_dir) as node:
        holds = node.request(request)
    if as_json:
        terminal.print_json({"compartment": name, **holds})
    else:
        count = "1 worker" if holds["workers"] == 1 else f"{holds['workers']} workers"
        terminal.say(f"{name}: {count} (at most {holds['max']}), marks {holds['low']:g} and {holds['high']:g}")


def upgrade(place: Workplace, *, as_json: bool) -> None:
    """Raises NodeError: nothing was changed, or what went wrong on the way; what serves serves on."""
    with Node(place.data_dir) as node:
        code = node.request(messages.UpgradeRequest(), RENEWAL_S_MAX)["code"]
    deadline = time.monotonic() + RENEWAL_S_MAX
    document = _status_of(place, code)
    while document["outdated"]:
        if document["renewal_fault"]:
            raise NodeError(document["renewal_fault"])
        if time.monotonic() > deadline:
            raise NodeError(f"{document['outdated']} processes still run other code; see: havok status")
        time.sleep(_POLL_S)
        document = _status_of(place, code)
    if as_json:
        terminal.print_json({"code": code})
    else:
        terminal.say(f"supervisor, gate and workers run the installed code ({code})")


def _status_of(place: Workplace, code: str) -> dict[str, Any]:
    """The status of a supervisor that runs this code. Raises NodeError when there is none for long."""
    deadline = time.monotonic() + _BACK_S_MAX
    while time.monotonic() < deadline:
        if is_running(place.data_dir):
            try:
                with Node(place.data_dir) as node:
                    document = node.status()
            except NodeError:
                pass  # it was about to go
            else:
                if document["supervisor"]["code"] == code:
                    return document
        time.sleep(_POLL_S)
    raise NodeError(
        "the new supervisor does not answer; what served before serves on without one: "
        "its log says why, and `havok serve` starts another"
    )
