"""Making a placed version the live one: steps 8 and 9 of the cycle, for loads and rollbacks alike.

Rule: the node first opens, verifies and warms the version aside; only then is the pointer
swapped, and only then is it announced. Until the swap the old version is live; from the
swap on the new one is, whatever happens to the announcement.
"""

import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from havok import layout
from havok.errors import OperatorError
from havok.manifest import Manifest
from loader import journal, workspace


class NodeHooks(Protocol):
    """What a running node does with a version. The caller holds the dataset's lock throughout."""

    def accept(self, manifest: Manifest) -> None:
        """Step 5: every live plan compiles on this schema. Raises LoadError naming the one that does not."""

    def stage(self, dataset: str, version: str) -> None:
        """Between 7 and 8: workers open, verify and warm the placed version aside. Raises OperatorError."""

    def announce(self, dataset: str, version: str) -> None:
        """Step 9: workers flip. The pointer already names the version. Raises OperatorError."""


class NoNode:
    """No node is running: the next one finds the version by its pointer."""

    def accept(self, manifest: Manifest) -> None:
        return None

    def stage(self, dataset: str, version: str) -> None:
        return None

    def announce(self, dataset: str, version: str) -> None:
        return None


def activate(
    data_dir: Path,
    dataset: str,
    version: str,
    *,
    action: journal.Action,
    node: NodeHooks,
    now: datetime.datetime,
    swapped: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Returns warnings: what went wrong after the swap. Raises before it, and the live version stands."""
    node.stage(dataset, version)
    point(data_dir, dataset, version, action=action, now=now)
    swapped()
    try:
        node.announce(dataset, version)
    except OperatorError as error:
        return (f"{version} is live on disk, but the node did not take it over: {error.detail}",)
    return ()


def point(data_dir: Path, dataset: str, version: str, *, action: journal.Action, now: datetime.datetime) -> None:
    """Step 8: the history line, then CURRENT by rename; both on disk when it returns.

    When the disk does not confirm the swap, the pointer is put back: a load that failed has changed nothing.
    """
    previous = layout.live_version(data_dir, dataset)
    line = journal.Activation(
        time=now.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        version=version,
        action=action,
        previous=previous,
    )
    pointer = layout.dataset_dir(data_dir, dataset) / "CURRENT"
    length = journal.append(data_dir, dataset, line)
    try:
        workspace.replace_file(pointer, version.encode() + b"\n")
    except BaseException:
        _put_back(pointer, previous)
        journal.cut(data_dir, dataset, length)
        raise


def _put_back(pointer: Path, previous: str | None) -> None:
    """As far as the disk lets it; readers go by what CURRENT says, whichever that is."""
    with contextlib.suppress(OSError):
        if previous is None:
            pointer.unlink(missing_ok=True)
        else:
            workspace.replace_file(pointer, previous.encode() + b"\n")
