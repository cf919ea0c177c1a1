"""The last load of a dataset that was refused, for whoever asks how the dataset is.

Rule: a note beside the data, never a reason for anything. It is gone after a load that was not
refused; one that cannot be written is forgone.
"""

import contextlib
import datetime
from pathlib import Path

import msgspec

from havok import layout
from loader import workspace

REASON_CHARS_MAX = 2000  # some lines of a terminal: what to do stands at the end
_INDENTED = "    "  # rows and fragments of SQL stand so
_KNOWN = "the candidate was refused and nothing changed"


def record(data_dir: Path, dataset: str, detail: str, now: datetime.datetime) -> None:
    """`detail`: what the person was told."""
    time = now.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    path = layout.refusal_file(data_dir, dataset)
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        workspace.replace_file(path, msgspec.json.encode(layout.RefusedLoad(time, shortened(detail))) + b"\n")


def forget(data_dir: Path, dataset: str) -> None:
    with contextlib.suppress(OSError):
        layout.refusal_file(data_dir, dataset).unlink(missing_ok=True)


def shortened(detail: str) -> str:
    """The sentences of a refusal on one line, without the rows and fragments they show."""
    lines = [line for line in detail.splitlines() if not line.startswith(_INDENTED) and not line.endswith(_KNOWN)]
    text = "; ".join(lines) or detail
    return text if len(text) <= REASON_CHARS_MAX else f"{text[: REASON_CHARS_MAX - 1]}…"
