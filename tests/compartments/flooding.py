"""Callers without a pause, in a process of their own: each asks one service for a batch again and again.

Arguments: port, service, connections, keys of a batch. Ends with its standard input, and says how many answers there
were of each status since it last read something there.
"""

import os
import selectors
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

ROOT = Path(__file__).parents[2]


class Caller:
    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self._request = request
        self._left = 0  # of the answer in hand
        self.ask()

    def ask(self) -> None:
        self.socket.sendall(self._request)

    def hear(self) -> str:
        """The status of an answer that begins, asking again when it is whole."""
        data, status = self.socket.recv(1 << 18), ""
        if not data:
            raise ConnectionResetError
        if not self._left:  # the server writes a head at once
            head, _, body = data.partition(b"\r\n\r\n")
            status = head[9:12].decode()
            self._left = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) - len(body)
        else:
            self._left -= len(data)
        if not self._left:
            self.ask()
        return status


def flood(port: int, service: str, connections: int, keys: int) -> Counter[str]:
    body = msgspec.json.encode({"keys": [f"k{number % 20}" for number in range(keys)]})
    request = b"POST /v1/%b HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        service.encode(),
        len(body),
        body,
    )
    statuses: Counter[str] = Counter()
    with selectors.DefaultSelector() as ready:
        ready.register(sys.stdin, selectors.EVENT_READ)
        for _ in range(connections):
            caller = Caller(port, request)
            ready.register(caller.socket, selectors.EVENT_READ, caller)
        while True:
            for key, _ in ready.select():
                if key.data is None:
                    if not os.read(sys.stdin.fileno(), 4096):
                        return statuses
                    statuses.clear()
                elif status := key.data.hear():
                    statuses[status] += 1


class Flood:
    """Such a process; `statuses` when it has ended."""

    def __init__(self, port: int, service: str, connections: int = 16, keys: int = 500) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.compartments.flooding", str(port), service, str(connections), str(keys)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.statuses: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def count(self) -> None:
        """From now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b".")
        self._process.stdin.flush()

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        output, _err = self._process.communicate(timeout=20)
        self.statuses = msgspec.json.decode(output, type=dict[str, int])


if __name__ == "__main__":
    port, service, connections, keys = sys.argv[1:]
    sys.stdout.write(msgspec.json.encode(flood(int(port), service, int(connections), int(keys))).decode())
