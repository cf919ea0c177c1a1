"""Media types: what answers are offered in, and what a caller accepts of it.

Rule: pure. The first of the types offered wins ties.
"""

from collections.abc import Sequence

JSON = "application/json"
MSGPACK = "application/msgpack"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
CONTENT_TYPES = {CSV: "text/csv; charset=utf-8; header=present"}  # with what a form says of itself; else its name
ROW_TYPES = (JSON, MSGPACK)
ANSWER_TYPES = (JSON, MSGPACK, CSV, ARROW)
# curl -d says form-urlencoded when nobody says otherwise; what it sends is still JSON.
_JSON_TYPES = frozenset({"", JSON, "application/x-www-form-urlencoded", "text/json", "text/plain"})
_MSGPACK_TYPES = frozenset({MSGPACK, "application/x-msgpack", "application/vnd.msgpack"})
_ALIASES = {JSON: frozenset({JSON, "application/problem+json"}), MSGPACK: _MSGPACK_TYPES}


def content_type(field: str) -> str:
    """The value of a Content-Type field → JSON, MSGPACK, or what it says."""
    text = field.partition(";")[0].strip().lower()
    if text in _JSON_TYPES or text.endswith("+json"):
        return JSON
    return MSGPACK if text in _MSGPACK_TYPES else text


def negotiate(accept: str, offered_types: Sequence[str]) -> str | None:
    """RFC 9110, 12.5.1: the offered type of the highest quality; the first wins ties.

    For each type the most specific matching range counts. None: nothing acceptable.
    """
    if not accept.strip() or accept == "*/*":
        return offered_types[0]
    ranges: list[tuple[str, float]] = []
    for item in accept.split(","):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        try:
            ranges.append((media, float(quality)))
        except ValueError:
            ranges.append((media, 0.0))
    best, best_quality = None, 0.0
    for offered in offered_types:
        found = [q for media, q in ranges if media in _ALIASES.get(offered, {offered})]
        for name in (offered.partition("/")[0] + "/*", "*/*"):
            found = found or [q for media, q in ranges if media == name]
        quality_here = max(found, default=0.0)
        if quality_here > best_quality:
            best, best_quality = offered, quality_here
    return best
