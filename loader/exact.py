"""Casts that lose nothing, or fail and say which value.

Rule: DuckDB's own casts round, cut and guess ('1.5' is 2 in a BIGINT, '0x10' is 16, a zone
is dropped from a TIMESTAMP). So text must match a pattern of its type before it is cast, and
a typed value must survive the way back.
"""

import re

from loader import duck

INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
_INEXACT = "inexact value\n"
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*(\d+)\)")
_NUMBER = r"\s*[+-]?[0-9]+"
_DAY = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
_CLOCK = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{0,6}0*)?)?"
_ZONE = r" ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
_FRACTION = r"([0-9]+\.[0-9]*|\.[0-9]+)"

# Text as which a value is written and which says nothing else: '007', '1:30' or 'yes' say more.
PLAIN = {
    **dict.fromkeys(INTEGERS, r"-?(0|[1-9][0-9]*)"),
    "BOOLEAN": r"(?i:true|false)",
    "DOUBLE": rf"[+-]?([0-9]{{1,15}}|{_FRACTION}|([0-9]+|{_FRACTION})[eE][+-]?[0-9]+|(?i:nan|inf|infinity))",
    "DATE": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "TIMESTAMP": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?",
    "TIMESTAMP WITH TIME ZONE": rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}{_ZONE}",
}
WIDE_INTEGER = r"-?(0|[1-9][0-9]{0,37})"  # fits a DECIMAL(38,0)


def pattern(wanted: str) -> str | None:
    """What text must match to be cast to a wanted type without loss; None where every cast that works is exact."""
    if wanted in INTEGERS:
        return _NUMBER + r"(\.0*)?\s*"
    if scale := _DECIMAL.fullmatch(wanted):
        return rf"\s*[+-]?([0-9]+(\.[0-9]{{0,{scale[1]}}}0*)?|\.[0-9]{{1,{max(1, int(scale[1]))}}}0*)\s*"
    if wanted.startswith("TIMESTAMP_"):
        wanted = "TIMESTAMP"
    return {
        "DOUBLE": rf"\s*({PLAIN['DOUBLE']}|[+-]?[0-9]{{16,38}})\s*",
        "DATE": rf"\s*{_DAY}([ T]00:00(:00(\.0*)?)?)?\s*",
        "TIMESTAMP": rf"\s*{_DAY}([ T]{_CLOCK})?\s*",
        "TIMESTAMP WITH TIME ZONE": rf"\s*{_DAY}([ T]{_CLOCK}({_ZONE})?)?\s*",
    }.get(wanted)


def cast(column: str, found: str, wanted: str) -> str:
    """SQL that casts a typed column, and fails where the cast would change a value.

    FLOAT is what it is: a double becomes the nearest one.
    """
    quoted = duck.name(column)
    if found == "VARCHAR" and (must_match := pattern(wanted)) is not None:
        return guarded(column, wanted, must_match)
    if found == wanted or found == "VARCHAR" or wanted == "FLOAT":
        return f"CAST({quoted} AS {wanted}) AS {quoted}"
    back = f"CAST(CAST({quoted} AS {wanted}) AS {found})"
    return _unless_inexact(column, wanted, f"{back} IS NOT DISTINCT FROM {quoted}")


def nested_text(column: str, wanted: str) -> str:
    """Text cast to a list, struct or map that prints as the same text, blanks apart; no text at all is NULL."""
    value = f"nullif({duck.name(column)}, '')"
    blank = [f"regexp_replace({text}, '\\s', '', 'g')" for text in (f"TRY_CAST({value} AS {wanted})::VARCHAR", value)]
    made = f"CASE WHEN {blank[0]} = {blank[1]} THEN TRY_CAST({value} AS {wanted}) END"
    return _or_refused(column, wanted, value, made)


def nested_json(column: str, wanted: str) -> str:
    """JSON cast to a list, struct or map whose numbers are those of the JSON."""
    value = duck.name(column)
    rough = re.sub(rf"\b({'|'.join(INTEGERS)}|DECIMAL\(\d+,\s*\d+\)|FLOAT)(?=[\s,)\[]|$)", "DOUBLE", wanted)
    cast = f"TRY_CAST({value} AS {wanted})"
    same = f"CAST({cast} AS {rough}) IS NOT DISTINCT FROM TRY_CAST({value} AS {rough})"
    return _or_refused(column, wanted, value, f"CASE WHEN {same} THEN {cast} END")


def guarded(column: str, kind: str, must_match: str, *, empty_is_null: bool = False) -> str:
    """Text cast to `kind` where it matches, is in range and, as a long whole number, is one that a DOUBLE can be."""
    quoted = duck.name(column)
    value = f"nullif({quoted}, '')" if empty_is_null else quoted
    cast = f"TRY_CAST({value} AS {kind})"
    test = f"regexp_full_match({value}, {duck.text(must_match)})"
    if kind == "DOUBLE":
        whole = f"regexp_full_match({value}, '\\s*[+-]?[0-9]{{16,38}}\\s*')"
        exactly = f"TRY_CAST({cast} AS DECIMAL(38,0)) = TRY_CAST({value} AS DECIMAL(38,0))"
        test += f" AND (NOT {whole} OR {exactly})"
    return _or_refused(column, kind, value, f"CASE WHEN {test} THEN {cast} END")


def _or_refused(column: str, kind: str, value: str, made: str) -> str:
    """`made` of a value that is there, or the error that names it."""
    return f"CASE WHEN {value} IS NOT NULL THEN coalesce({made}, {_refused(column, kind)}) END AS {duck.name(column)}"


def _unless_inexact(column: str, kind: str, fits: str) -> str:
    quoted = duck.name(column)
    return f"CASE WHEN {fits} THEN CAST({quoted} AS {kind}) ELSE {_refused(column, kind)} END AS {quoted}"


def _refused(column: str, kind: str) -> str:
    """An expression of the type that fails, naming the value."""
    message = duck.text(f"{_INEXACT}{column}\n{kind}\n")
    return f"CAST(error(concat({message}, {duck.name(column)}::VARCHAR)) AS {kind})"


def misfit(error: BaseException) -> tuple[str, str, str] | None:
    """(column, type, value) of a cast of this module that failed; None for any other error."""
    found = re.search(re.escape(_INEXACT) + r"(?P<column>.*)\n(?P<kind>.*)\n(?P<value>.*)", str(error))
    return None if found is None else (found["column"], found["kind"], found["value"])
