"""A compiled query on its way: its generated function, driven in slices, rendered as it goes.

Rule: between two slices nothing is held but what the query itself keeps. Its program's leases
are held until it is closed, so that an answer is of one version from its first row to its last.
"""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import Any

from engine.forms.media import JSON, MSGPACK
from engine.forms.rendering import Rendering
from engine.http.answering import STREAM_BYTES, asleep
from engine.queries.paging import Cursors

_SAY_NEXT = (JSON, MSGPACK)  # in their body; the others leave it to a header


class RunningQuery:
    """`given`: values of the parameters. `release()` is called once, when it ends."""

    waiting = False

    def __init__(
        self,
        rows: Iterator[Sequence[Any]],
        rendering: Rendering,
        cursors: Cursors,
        given: Sequence[Any],
        release: Callable[[], None],
    ) -> None:
        self._rows = rows
        self._rendering = rendering
        self._cursors = cursors
        self._given = given
        self._release: Callable[[], None] | None = release
        self._begun = False
        self.media = rendering.media
        self.done = False
        self.wake: Callable[[], None] = asleep
        self.cursor: str | None = None

    def step(self, until_ns: int) -> bytes:
        """At least one chunk of rows, then on until it is time or much was made. Raises a HavokError, lmdb.Error."""
        rendering, made, size = self._rendering, [], 0
        if not self._begun:
            self._begun = True
            made.append(rendering.start())
        try:
            while True:
                rows = next(self._rows)
                if rows:
                    piece = rendering.rows(list(rows))
                    made.append(piece)
                    size += len(piece)
                if size >= STREAM_BYTES or monotonic_ns() >= until_ns:
                    break
        except StopIteration as end:
            cursor = None if end.value is None else self._cursors.text(end.value, self._given)
            made.append(rendering.end(cursor))
            if not rendering.media.startswith(_SAY_NEXT):
                self.cursor = cursor
            self.done = True
        return b"".join(made)

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            self._rows.close()  # type: ignore[attr-defined]  # a generator
            release()
