"""DuckDB's report of a query that failed → an error for the caller.

Rule: a report may hold values of rows that the caller never asked for, so nothing of it reaches him
but words on a list here and names of types; the whole of it is for the node's log (`seen`).
"""

import re

import duckdb

from havok.errors import HavokError, Internal, OutOfMemory, Overloaded, QueryFailed, QueryTimeout, StoreDown
from havok.manifest import TWIN_FILE

REPORT_CHARS_MAX = 500  # of a line in the log: a value may be as long as a row
_TYPE = (
    r"(U?INT(?:8|16|32|64|128)|U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DOUBLE|FLOAT|DECIMAL\(\d+,\d+\)|BOOL(?:EAN)?"
    r"|DATE|TIME(?:STAMP)?(?: WITH TIME ZONE)?|INTERVAL|UUID|JSON|VARCHAR)(?![A-Za-z0-9_(])"
)
_SENTENCES = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        (r"division by zero", "division by zero"),
        (r"overflow in ([a-z]+)", r"an overflow in \1"),
        (r"more than one row returned by a subquery", "more than one row came from a subquery that stands for a value"),
        (rf"could not convert string .* to {_TYPE}", r"a text cannot be read as \1"),
        (rf"could not cast value .* to {_TYPE}", r"a value does not fit \1"),
        (rf"type \w+ with value .* type {_TYPE}", r"a value does not fit \1"),
        (r"(?:invalid )?(date|timestamp|time) field", r"a text is no \1"),
        (r"malformed JSON", "a text is no JSON"),
        (r"(?:could not|failed to) parse", "a text is not in the format that it is read by"),
    )
)  # fmt: skip
_OTHERWISE: tuple[tuple[type[duckdb.Error], str], ...] = (
    (duckdb.ConversionException, "a value cannot be converted to the type it is cast to"),
    (duckdb.OutOfRangeException, "a value is out of range"),
    (duckdb.InvalidInputException, "a function was given what it cannot take"),
)


def explain(error: duckdb.Error | MemoryError, memory_mb: int) -> HavokError:
    """DuckDB's error, met under that limit: no path, no jargon, no line of SQL, no value of a row."""
    if isinstance(error, duckdb.InterruptException):
        return QueryTimeout("the query took longer than the service allows; ask for less")
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return out_of_memory(memory_mb)
    if isinstance(error, duckdb.IOException | duckdb.PermissionException) or TWIN_FILE in str(error):
        return StoreDown("the data of this version cannot be read now", retry_after_s=1)
    report = str(error).strip()
    reason = report.partition(": ")[2]
    if isinstance(error, duckdb.DataError | duckdb.ConversionException | duckdb.InvalidInputException):
        return QueryFailed(
            f"the query cannot be calculated: {_sentence(error, reason)}", seen=report[:REPORT_CHARS_MAX]
        )
    if isinstance(error, duckdb.BinderException) and "LIMIT" in reason.partition("\n")[0]:
        return QueryFailed("LIMIT and OFFSET must not be negative")
    if isinstance(error, duckdb.FatalException):
        return Overloaded("the query engine must be started again", retry_after_s=1)
    return Internal("the query engine failed")


def _sentence(error: duckdb.Error, reason: str) -> str:
    lowered = reason[:1].lower() + reason[1:]
    for pattern, sentence in _SENTENCES:
        if found := pattern.match(lowered):
            return found.expand(sentence)
    return next((said for kind, said in _OTHERWISE if isinstance(error, kind)), "a value is none it can work with")


def out_of_memory(memory_mb: int) -> OutOfMemory:
    limit = f"the {memory_mb} MB it may have (executors.memory_mb)"
    return OutOfMemory(f"the query needs more memory than {limit}; ask for less, or have the limit raised")
