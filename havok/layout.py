"""Where things lie under `data_dir`.

    datasets/<name>/CURRENT           id of the live version, replaced by rename
    datasets/<name>/<version>/        rows.mdb, rows.parquet, manifest.json
    datasets/<name>/.build-<random>/  a version being built; an orphan when nobody locks it
    datasets/<name>/history.jsonl     activations, oldest first
    datasets/<name>/quarantine.json   versions that may not return without --force
    datasets/<name>/lock              held (flock) by whoever loads, rolls back or retires
    refused/<name>.json               why the last load of the dataset was refused; gone after one that was not
    node.lock                         held (flock) by the supervisor; its pid inside
    control.db                        what people changed at run time

Sockets live in a 0700 directory of their own: `data_dir/run`, or when that path is too
long for a UNIX socket, a directory under /tmp named after it. Not under TMPDIR: a command
finds the node whatever its environment is.
"""

import hashlib
import os
import stat
from pathlib import Path

import msgspec

from havok.errors import NodeError

SOCKET_PATH_BYTES_MAX = 107  # sun_path less its NUL, Linux
_POINTER_BYTES = 64  # a version id has 25
_SHORT_DIR = Path("/tmp")  # anybody may write there: `make_run_dir` checks whose it is
_LONGEST_SOCKET = "w-9999999-999999999.ports"


class RefusedLoad(msgspec.Struct, frozen=True):
    """`time`: RFC 3339, UTC; `reason`: on one line."""

    time: str
    reason: str


def dataset_dir(data_dir: Path, dataset: str) -> Path:
    return data_dir / "datasets" / dataset


def version_dir(data_dir: Path, dataset: str, version: str) -> Path:
    return dataset_dir(data_dir, dataset) / version


def live_version(data_dir: Path, dataset: str) -> str | None:
    """The version that CURRENT names; None when nothing was activated yet.

    Of a file that holds something else, as damage may leave it, what can be read: no version has such a name.
    """
    try:
        content = (dataset_dir(data_dir, dataset) / "CURRENT").read_bytes()
    except FileNotFoundError:
        return None
    return (
        content[:_POINTER_BYTES].decode(errors="replace").replace("\0", "\ufffd").replace("/", "\ufffd").strip() or None
    )


def node_lock(data_dir: Path) -> Path:
    return data_dir / "node.lock"


def control_db(data_dir: Path) -> Path:
    return data_dir / "control.db"


def run_dir(data_dir: Path) -> Path:
    """Where this node's sockets are; a pure function of the data directory."""
    preferred = data_dir.resolve() / "run"
    if len(os.fsencode(preferred / _LONGEST_SOCKET)) <= SOCKET_PATH_BYTES_MAX:
        return preferred
    digest = hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    return _SHORT_DIR / f"havok-{os.getuid()}-{digest}"


def make_run_dir(data_dir: Path) -> Path:
    """Creates it 0700. Raises NodeError when another user holds the name."""
    path = run_dir(data_dir)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NodeError(f"{path} belongs to someone else; remove it or choose another data_dir")
    path.chmod(0o700)
    return path


def control_socket(data_dir: Path) -> str:
    return f"ipc://{run_dir(data_dir) / 'control.sock'}"


def bulletin_socket(data_dir: Path) -> str:
    return f"ipc://{run_dir(data_dir) / 'bulletin.sock'}"


def quarantined(data_dir: Path, dataset: str) -> dict[str, str]:
    """Version → why it may not return. A file that cannot be read bars nothing."""
    try:
        return msgspec.json.decode(
            (dataset_dir(data_dir, dataset) / "quarantine.json").read_bytes(), type=dict[str, str]
        )
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def refusal_file(data_dir: Path, dataset: str) -> Path:
    return data_dir / "refused" / f"{dataset}.json"


def refused_load(data_dir: Path, dataset: str) -> RefusedLoad | None:
    """The last load of a dataset, if it was refused. Of a file that cannot be read: nothing is known."""
    try:
        return msgspec.json.decode(refusal_file(data_dir, dataset).read_bytes(), type=RefusedLoad)
    except (OSError, msgspec.DecodeError):
        return None
