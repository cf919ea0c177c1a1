"""The client of the control socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.node import NOT_RUNNING, Hooks, Node, holder, is_running, status_if_running
from havok import messages
from havok.errors import LoadError, NodeError
from havok.layout import control_socket, live_version, make_run_dir, version_dir
from havok.manifest import read_manifest
from havok.settings import Settings
from tests import snapshots
from tests.console.person import Person, Served


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Path]:
    """A data directory on whose control socket someone listens and says nothing."""
    make_run_dir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(control_socket(tmp_path).removeprefix("ipc://"))
        listener.listen()
        yield tmp_path


def test_nobody_there(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert status_if_running(tmp_path) is None
    assert holder(tmp_path) == "unknown"
    with pytest.raises(NodeError, match=NOT_RUNNING):
        Node(tmp_path)


def test_a_socket_nobody_listens_on_is_no_node(deaf: Path, tmp_path: Path) -> None:
    assert is_running(deaf)
    left = tmp_path / "left"
    make_run_dir(left)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(control_socket(left).removeprefix("ipc://"))
    assert not is_running(left)


def test_silence_ends_in_a_sentence(deaf: Path) -> None:
    with Node(deaf) as client, pytest.raises(NodeError, match="did not answer within 0 s"):
        client.request(messages.StatusRequest(), timeout_s=0.1)


def test_without_a_node_the_hooks_do_nothing(tmp_path: Path) -> None:
    with Hooks(tmp_path, Settings()) as hooks:
        assert not hooks.running
        hooks.stage("things", "v")
        hooks.announce("things", "v")
        assert hooks.flipped is None


def test_whether_there_is_a_node_is_seen_when_it_is_asked(deaf: Path) -> None:
    """Not when a load begins: it may have to wait, and building takes its time."""
    with Hooks(deaf, Settings()) as hooks:
        Path(control_socket(deaf).removeprefix("ipc://")).unlink()
        hooks.stage("things", "v")
        assert not hooks.running


def test_what_was_staged_is_taken_back_when_the_swap_fails(owner: Person, node: Served) -> None:
    version = owner.does("load", "things", "--no-activate", "--json").json["version"]
    before = node.status()["supervisor"]["seq"]

    def fail_after_staging() -> None:
        with Hooks(owner.data_dir, Settings()) as hooks:
            hooks.stage("things", version)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail_after_staging()
    assert node.status()["supervisor"]["seq"] == before + 2  # staged, and taken back
    assert owner.thing().status == 200


def test_a_manifest_that_breaks_a_service_is_refused_by_name(owner: Person, node: Served) -> None:
    live = live_version(owner.data_dir, "places")
    assert live is not None
    manifest = read_manifest(owner.data_dir / "datasets" / "places" / live)
    narrow = type(manifest)(
        **{name: getattr(manifest, name) for name in manifest.__struct_fields__ if name != "columns"},
        columns=tuple(column for column in manifest.columns if column.name != "name"),
    )
    with Hooks(owner.data_dir, Settings()) as hooks, pytest.raises(LoadError, match="service place"):
        hooks.accept(narrow)


def test_a_node_that_stops_refuses_no_candidate(tmp_path: Path) -> None:
    """What it would have said of it is not known."""
    make_run_dir(tmp_path)
    manifest = read_manifest(version_dir(tmp_path, "things", snapshots.build(tmp_path, "things", {}, 1)))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(control_socket(tmp_path).removeprefix("ipc://"))
    listener.listen()
    with Hooks(tmp_path, Settings()) as hooks:
        assert hooks.running
        listener.close()
        with pytest.raises(NodeError) as caught:
            hooks.accept(manifest)
    assert caught.value.detail == "the node stopped before it answered; its log says why"


def test_errors_of_the_node_are_the_commands(owner: Person, node: Served) -> None:
    with Node(owner.data_dir) as client, pytest.raises(NodeError, match="no service 'ghost'"):
        client.request(messages.RemoveServiceRequest("ghost"))
