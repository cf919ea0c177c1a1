"""The forms an answer may have, by media type.

Rule: a form is prepared once for a query, when it is first asked for; each response then has
a rendering of its own, which turns lists of rows into the pieces of a body: a start, any
number of rows, an end. Nothing here knows of HTTP beyond the names of media types.
"""

from collections.abc import Callable
from typing import Any, Protocol

from engine.forms.answer import Answer
from engine.forms.arrow import ArrowStreams
from engine.forms.delimited import CsvTables
from engine.forms.document import JsonDocuments, MsgpackDocuments
from engine.forms.media import ARROW, CSV, JSON, MSGPACK


class Rendering(Protocol):
    """One body. Rows that went through it are spent."""

    @property
    def media(self) -> str:
        """The content type, with its parameters."""

    def start(self) -> bytes: ...

    def rows(self, rows: list[Any]) -> bytes:
        """Raises QueryFailed for a value that the form cannot show, AnswerTooLarge where rows are kept."""

    def end(self, cursor: str | None) -> bytes:
        """The rest. `cursor`: where the next page begins; a form without a place for it leaves it to a header."""


class Form(Protocol):
    """What all answers of one query have in common in one media type."""

    def begin(self, meta: bool) -> Rendering: ...


FORMS: dict[str, Callable[[Answer], Form]] = {  # the first is preferred where a caller does not mind
    JSON: JsonDocuments,
    MSGPACK: MsgpackDocuments,
    CSV: CsvTables,
    ARROW: ArrowStreams,
}


class Renderings:
    """The forms of one query's answers."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._prepared: dict[str, Form] = {}

    def begin(self, media: str, *, meta: bool = False) -> Rendering:
        """`media` is one of FORMS; `meta`: whether the columns are told, where the form does not anyway."""
        form = self._prepared.get(media)
        if form is None:
            form = self._prepared[media] = FORMS[media](self._answer)
        return form.begin(meta)
