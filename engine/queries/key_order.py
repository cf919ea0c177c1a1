"""Rows that are sorted by parts of their key: which queries, and where in a key the parts are.

Rule: pure. An element of a key is in the order of its values, so its bytes can be sorted in
their place, and of all rows that are read only those that are answered are ever decoded. Only
parts with a fixed place from the key's end are used, behind which every element has a fixed
size. A hashed key does not hold its values: that is found out when rows are read.
"""

from engine.queries.expression import Column
from engine.queries.query import Query
from havok.keys import FIXED_BYTES

Part = tuple[int, int]  # bytes from the end: where it begins and where it ends


def key_parts(query: Query) -> list[Part] | None:
    """The part of the key for each item of ORDER BY; None where rows must be decoded to be sorted."""
    if query.lookups or query.where is not None or query.seek.index is not None or query.seek.is_whole_key:
        return None
    places = _places(query)
    found = []
    for item in query.order:
        value = item.value
        if not isinstance(value, Column) or value.source != 0 or value.name not in places:
            return None
        found.append(places[value.name])
    return found


def _places(query: Query) -> dict[str, Part]:
    places: dict[str, Part] = {}
    end = 0
    for column in reversed(query.seek.columns):
        size = FIXED_BYTES.get(column.kind)
        if size is None:
            break
        places[column.name] = (end + size, end)
        end += size
    return places


def key_text(part: Part, entry: str) -> str:
    """The Python text of a part of an entry's key."""
    begin, end = part
    return f"{entry}[0][-{begin}:{f'-{end}' if end else ''}]"
