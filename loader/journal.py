"""The activations of a dataset, and the versions that may not return.

Rule: an activation is written down *before* CURRENT is swapped, so the last line counts
only if CURRENT agrees; a reader needs no repair after a crash between the two, and the
next writer drops such a line.
"""

import contextlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from havok import layout
from loader import workspace

Action = Literal["load", "rollback"]


class Activation(msgspec.Struct, frozen=True):
    """`time`: RFC 3339, UTC; `previous`: the version that was live before."""

    time: str
    version: str
    action: Action
    previous: str | None = None


def read(data_dir: Path, dataset: str) -> list[Activation]:
    """Oldest first."""
    return _settled(data_dir, dataset)[0]


def append(data_dir: Path, dataset: str, activation: Activation) -> int:
    """On disk when it returns; counts once CURRENT names its version. Returns the length before, for `cut`."""
    path = _path(data_dir, dataset)
    _, length = _settled(data_dir, dataset)
    with open(path, "ab") as file:
        try:
            file.truncate(length)
            file.write(msgspec.json.encode(activation) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), length)
            raise
    workspace.sync_dir(path.parent)
    return length


def cut(data_dir: Path, dataset: str, length: int) -> None:
    """Takes back the line that was appended at `length`; if it cannot, the line does not count anyway."""
    with contextlib.suppress(OSError):
        os.truncate(_path(data_dir, dataset), length)


def _settled(data_dir: Path, dataset: str) -> tuple[list[Activation], int]:
    """The lines that count, and the length of the file up to the last of them."""
    try:
        content = _path(data_dir, dataset).read_bytes()
    except FileNotFoundError:
        return [], 0
    found: list[tuple[Activation, int]] = []
    end = 0
    for line in content.splitlines(keepends=True):
        end += len(line)
        try:
            found.append((msgspec.json.decode(line, type=Activation), end))
        except msgspec.DecodeError:  # torn by a crash
            continue
    if found and found[-1][0].version != layout.live_version(data_dir, dataset):
        found.pop()
    return [activation for activation, _ in found], found[-1][1] if found else 0


def quarantine(data_dir: Path, dataset: str, version: str, reason: str | None) -> None:
    """Sets the reason, or with None lifts it."""
    known = layout.quarantined(data_dir, dataset)
    if known.get(version) == reason:
        return
    if reason is None:
        known.pop(version, None)
    else:
        known[version] = reason
    workspace.replace_file(_quarantine(data_dir, dataset), msgspec.json.format(msgspec.json.encode(known)) + b"\n")


def _path(data_dir: Path, dataset: str) -> Path:
    return layout.dataset_dir(data_dir, dataset) / "history.jsonl"


def _quarantine(data_dir: Path, dataset: str) -> Path:
    return layout.dataset_dir(data_dir, dataset) / "quarantine.json"
