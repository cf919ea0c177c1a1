"""Ledger entries as values: what did not change is not decoded again.

Rule: pure. Facts are followed whole, a thousand services at a time and between requests,
so that only what is different may cost more than a look.
"""

from collections.abc import Callable, Mapping
from typing import Any


class Entries:
    """The entries `<kind>/<name>` of some kinds."""

    def __init__(self, **decoders: Callable[[bytes], Any]) -> None:
        """By kind, how its values are decoded."""
        self._decoders = decoders
        self._raw: dict[str, bytes] = {}
        self._values: dict[str, dict[str, Any]] = {kind: {} for kind in decoders}

    def follow(self, entries: Mapping[str, bytes]) -> bool:
        """True when an entry of these kinds is new, another or gone."""
        new = {
            key: self._decode(key, value)
            for key, value in entries.items()
            if self._raw.get(key) != value and key.partition("/")[0] in self._decoders
        }
        gone = [key for key in self._raw if key not in entries]
        for key, value in new.items():
            kind, _, name = key.partition("/")
            self._values[kind][name] = value
            self._raw[key] = entries[key]
        for key in gone:
            kind, _, name = key.partition("/")
            del self._values[kind][name]
            del self._raw[key]
        return bool(new or gone)

    def _decode(self, key: str, value: bytes) -> Any:
        return self._decoders[key.partition("/")[0]](value)

    def of(self, kind: str) -> dict[str, Any]:
        """Name → value, now."""
        return dict(self._values[kind])
