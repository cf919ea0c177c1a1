"""What a node takes hold of, and what it says when it cannot."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from compartments.processes.claim import listen
from havok.errors import NodeError
from havok.layout import SOCKET_PATH_BYTES_MAX, run_dir
from tests.compartments.node import Node


def refusal(node: Node) -> str:
    node.write()
    node.start(serving=False)
    assert node.supervisor is not None
    assert node.supervisor.wait(20) != 0
    return node.words()


def test_a_data_directory_in_use_is_refused_naming_who(tmp_path: Path, node: Node) -> None:
    node.start()
    assert node.supervisor is not None
    with Node(tmp_path / "other", data_dir=node.data_dir) as other:
        words = refusal(other)
    assert f"in use by another node (pid {node.supervisor.pid})" in words
    assert "node.data_dir" in words
    assert node.is_serving()


def test_a_taken_port_is_refused_by_its_key(node: Node) -> None:
    with socket.create_server(("127.0.0.1", node.port)):
        words = refusal(node)
    assert f"cannot listen on 127.0.0.1:{node.port} (node.listen): Address already in use" in words
    node.start()


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "no..host"])
def test_a_host_that_is_not_known_is_refused_by_its_key(host: str) -> None:
    with pytest.raises(NodeError, match=r"\(node\.admin\): \S+ cannot be found; .* 127\.0\.0\.1"):
        listen(f"{host}:18380", "node.admin")


@pytest.mark.skipif(os.getuid() != 0, reason="needs two users")
def test_a_run_directory_of_somebody_else_is_refused(node: Node) -> None:
    run = run_dir(node.data_dir)
    run.mkdir(parents=True)
    os.chown(run, 12345, 12345)
    assert "belongs to someone else" in refusal(node)
    shutil.rmtree(run)
    run.symlink_to(node.data_dir)
    assert "belongs to someone else" in refusal(node)


def test_a_deep_data_directory_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100) / "var"
    assert len(str(deep)) > SOCKET_PATH_BYTES_MAX
    with Node(tmp_path / "node", data_dir=deep) as node:
        node.load(1)
        node.start()
        assert not run_dir(deep).is_relative_to(deep)
        assert run_dir(deep).stat().st_mode & 0o777 == 0o700
        with node.client() as client:
            assert client.get("a").status == 200
            assert client.get("b").status == 200
        assert node.stop() == 0
