"""The running node as a command sees it: requests over its control socket.

Rule: one request, one reply. Whether a node runs is asked by connecting to its socket, not
by trying its lock: a probe that held the lock, however briefly, could refuse a node that
is just starting.
"""

import socket
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import msgspec

from havok import messages
from havok.errors import ConfigError, LoadError, NodeError
from havok.layout import control_socket, node_lock
from havok.manifest import Manifest, encode_manifest
from havok.settings import Settings

ANSWER_S_MAX = 10.0  # of what the supervisor answers from memory
SETTLE_S_MAX = 60.0  # of what waits for workers to compile, open or flip
STAGE_S_MAX = 660.0  # workers verify a whole version; the supervisor gives up a minute earlier
_POLL_MS = 250  # how soon a node that died while answering is noticed
NOT_RUNNING = "the node is not running; start it with: havok serve"
ORPHANED = "the node's supervisor is gone; what it left serves on as it was until it is replaced by: havok serve"


def is_running(data_dir: Path) -> bool:
    """Whether a supervisor listens on this data directory's control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(control_socket(data_dir).removeprefix("ipc://"))
        except TimeoutError:
            return True  # its backlog is full: busy, but there
        except OSError:
            return False
    return True


def is_orphaned(data_dir: Path) -> bool:
    """Whether workers serve on without a supervisor."""
    from compartments.processes.roster import read_roster

    if is_running(data_dir):
        return False
    roster = read_roster(data_dir)
    return roster is not None and bool(roster.processes)


def holder(data_dir: Path) -> str:
    """The pid of the node that uses the data directory, as its lock file says."""
    try:
        return node_lock(data_dir).read_text().strip() or "unknown"
    except OSError:
        return "unknown"


class Unanswered(NodeError):
    """Nothing is known of what was asked for: the node said neither yes nor no."""


class Node:
    """A connection to the supervisor; use it as a context manager."""

    def __init__(self, data_dir: Path) -> None:
        """Raises NodeError when no node runs there."""
        import zmq

        if not is_running(data_dir):
            raise NodeError(ORPHANED if is_orphaned(data_dir) else NOT_RUNNING)
        self._data_dir = data_dir
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(1)
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(control_socket(data_dir))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._context.term()

    def request(self, message: messages.Request, timeout_s: float = SETTLE_S_MAX) -> Any:
        """The reply's data. Raises NodeError with the node's reason, Unanswered when it gives none.

        Raises ConfigError with every fault, where the reason is a configuration.
        """
        self._socket.send(messages.encode(message))
        deadline = monotonic() + timeout_s
        while not self._socket.poll(_POLL_MS):
            if not is_running(self._data_dir):
                raise Unanswered("the node stopped before it answered; its log says why")
            if monotonic() > deadline:
                raise Unanswered(f"the node did not answer within {timeout_s:.0f} s; its log may say why")
        reply = messages.decode_outbound(self._socket.recv())
        if not isinstance(reply, messages.Reply):
            raise NodeError("the node answered something else; is it of another version of Havok?")
        if reply.faults:
            raise ConfigError(list(reply.faults))
        if reply.error is not None:
            raise NodeError(reply.error)
        return msgspec.msgpack.decode(reply.data) if reply.data else None

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.request(messages.StatusRequest(), ANSWER_S_MAX)
        return document


def status_if_running(data_dir: Path) -> dict[str, Any] | None:
    """The node's status; None when it does not run. Raises NodeError when it runs and does not answer."""
    if not is_running(data_dir):
        return None
    with Node(data_dir) as node:
        return node.status()


class Hooks:
    """What the loader asks of the node (`loader.activation.NodeHooks`), running or not.

    Whether one runs is seen when it is first asked: a build and the wait before it take long. A context manager:
    what was staged and not announced is taken back when the block fails.
    """

    def __init__(self, data_dir: Path, settings: Settings) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._node: Node | None = None
        self._sought = False
        self._staged: str | None = None
        self.flipped: dict[str, Any] | None = None  # workers and ms, once they did
        self.faulty: dict[str, str] = {}  # services that do not compile on what was accepted, as they did not before

    @property
    def running(self) -> bool:
        return self._found() is not None

    @property
    def orphaned(self) -> bool:
        return is_orphaned(self._data_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._node is None:
            return
        try:
            if error is not None and self._staged is not None:
                self._node.request(messages.UnstageRequest(self._staged), ANSWER_S_MAX)
        except NodeError:
            return  # what failed first is what the person must read
        finally:
            self._node.__exit__()

    def _found(self) -> Node | None:
        """The node, one and the same to the end. Raises NodeError when it stops just then."""
        if not self._sought:
            self._node = Node(self._data_dir) if is_running(self._data_dir) else None
            self._sought = True
        return self._node

    def accept(self, manifest: Manifest) -> None:
        """Raises LoadError naming each service whose plan does not compile on the manifest, Unanswered."""
        node = self._found()
        if node is None:
            from compartments.versions.live import live_manifests
            from compartments.versions.planning import Planning
            from engine.plan import PlanError

            live = live_manifests(self._data_dir, self._settings.datasets)
            try:
                self.faulty = Planning().accept(self._settings, live, manifest)
            except PlanError as error:
                raise LoadError(_refused(manifest, error.detail)) from None
            return
        try:
            self.faulty = node.request(messages.AcceptRequest(encode_manifest(manifest))) or {}
        except Unanswered:
            raise
        except NodeError as error:
            raise LoadError(_refused(manifest, error.detail)) from None

    def stage(self, dataset: str, version: str) -> None:
        node = self._found()
        if node is not None:
            self._staged = dataset
            node.request(messages.StageRequest(dataset, version), STAGE_S_MAX)

    def announce(self, dataset: str, version: str) -> None:
        node = self._found()
        if node is not None:
            self.flipped = node.request(messages.ActivateRequest(dataset))
            self._staged = None


def _refused(manifest: Manifest, reason: str) -> str:
    return (
        f"{manifest.dataset}: the candidate was refused and nothing changed\n"
        f"a live service does not compile on it: {reason}"
    )
