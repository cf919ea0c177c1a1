"""Callers that never stop asking, and remember everything that was not right."""

import http.client
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Self

KEYS = 20  # of the things table
PAUSE_S = 0.001  # between requests: the commands under test need a core as well


class Caller(threading.Thread):
    """One keep-alive connection: single rows and batches of `thing`, in turn."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ending = threading.Event()
        self.answers: Counter[str] = Counter()  # Havok-Version → answers
        self.numbers: dict[str, set[int]] = {}  # Havok-Version → the `v` of its rows
        self.wrong: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        turn = 0
        try:
            while not self._ending.wait(PAUSE_S):
                turn += 1
                self._ask(connection, turn)
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(repr(error))
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, turn: int) -> None:
        if turn % 2:
            connection.request("GET", f"/v1/thing?id={turn % KEYS}")
        else:
            body = json.dumps({"keys": list(range(KEYS))})
            connection.request("POST", "/v1/thing", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body_read = answer.read()
        if answer.status != 200:
            self.wrong.append(f"{answer.status} {body_read[:200]!r}")
            return
        data = json.loads(body_read)["data"]
        rows = data if isinstance(data, list) else [data]
        version = answer.headers["Havok-Version"]
        seen = {row["v"] for row in rows}
        if len(seen) != 1 or len(rows) not in (1, KEYS):
            self.wrong.append(f"{version}: mixed rows of {seen}")
        self.answers[version] += 1
        self.numbers.setdefault(version, set()).update(seen)

    def end(self) -> None:
        self._ending.set()
        self.join(15)


class Callers:
    """Several at once, for the length of a block."""

    def __init__(self, port: int, count: int = 3) -> None:
        self._callers = [Caller(port) for _ in range(count)]

    def __enter__(self) -> Self:
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for caller in self._callers:
            caller.end()

    @property
    def wrong(self) -> list[str]:
        return [text for caller in self._callers for text in caller.wrong]

    def count(self, version: str) -> int:
        """Answers that came from a version so far."""
        return sum(caller.answers[version] for caller in self._callers)

    def numbers(self) -> dict[str, set[int]]:
        merged: dict[str, set[int]] = {}
        for caller in self._callers:
            for version, numbers in caller.numbers.items():
                merged.setdefault(version, set()).update(numbers)
        return merged
