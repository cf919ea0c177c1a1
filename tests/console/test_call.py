"""An answer that the node gives up in the middle is told as that, with how much of it came."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from console.call import _get
from havok.errors import NodeError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """Where somebody listens who sends these to the first request, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"6\r\n" + b"x" * 6 + b"\r\n"),
        (HEAD + b"Content-Length: 100\r\n\r\n", b"x" * 6),
    ],
)
def test_an_answer_that_breaks_off(parts: tuple[bytes, ...]) -> None:
    with answering(*parts) as listen, pytest.raises(NodeError) as caught:
        _get(listen, "/v1/x")
    assert caught.value.detail == "the answer broke off after 6 bytes; the node's log says why"


def test_what_is_no_answer_at_all() -> None:
    with answering(b"SSH-2.0\r\n") as listen, pytest.raises(NodeError, match="does not answer as a Havok node"):
        _get(listen, "/v1/x")


def test_a_whole_answer() -> None:
    with answering(HEAD + b"Content-Length: 3\r\n\r\n", b"abc") as listen:
        status, _, body = _get(listen, "/v1/x")
    assert (status, body) == (200, b"abc")
