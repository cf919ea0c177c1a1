"""Columns that a candidate has of other types than the live version, and what reads them as before.

Rule: pure. Whether that helps a service is for the planner to find out: here only the types are put back.
"""

import json
import re
from collections.abc import Mapping

import msgspec

from havok.keys import KeyColumn, kind_of
from havok.manifest import Column, Index, Manifest

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def retyped(before: Manifest, after: Manifest) -> dict[str, str]:
    """Columns that have another type after → the type they had."""
    types = {column.name: column.type for column in after.columns}
    return {
        column.name: column.type
        for column in before.columns
        if column.name in types and types[column.name] != column.type
    }


def with_types(manifest: Manifest, types: Mapping[str, str]) -> Manifest:
    """Some columns of other types, in the key and the indexes too."""

    def keyed(columns: tuple[KeyColumn, ...]) -> tuple[KeyColumn, ...]:
        kinds = {name: kind_of(kind) for name, kind in types.items()}
        return tuple(KeyColumn(column.name, kinds.get(column.name) or column.kind) for column in columns)

    return msgspec.structs.replace(
        manifest,
        columns=tuple(Column(column.name, types.get(column.name, column.type)) for column in manifest.columns),
        key=keyed(manifest.key),
        indexes=tuple(Index(index.name, keyed(index.columns)) for index in manifest.indexes),
    )


def as_they_were(manifest: Manifest, types: Mapping[str, str], known: Mapping[str, str]) -> str:
    """What is to stand in havok.toml beside the types that do, so that columns are read with these."""
    changes = ", ".join(f"{column.name} is {column.type}" for column in manifest.columns if column.name in types)
    wanted = ", ".join(f"{_bare(name)} = {json.dumps(kind)}" for name, kind in {**known, **types}.items())
    was = ", ".join(types.values()) if len(set(types.values())) > 1 else next(iter(types.values()))
    return (
        f"{changes} now and was {was}; if its values allow it, read it as before: "
        f"[datasets.{manifest.dataset}] columns = {{ {wanted} }}"
    )


def _bare(name: str) -> str:
    """A key of TOML, in quotes where it must be."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
