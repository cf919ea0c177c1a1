"""The shipped havok.toml is sound, runs anywhere, and is the reference: every key, at its default."""

import json
import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from havok.config import read_settings
from havok.relations import check
from havok.settings import Settings
from havok.typed import Finding, convert

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "havok.toml"

_HEADER = re.compile(r"\[(?P<path>[^\]]+)\]")
_MULTILINE = re.compile(r'"""(.*?)"""', re.DOTALL)
_LINE = re.compile(r"(?P<comment># )?(?P<key>[a-z_]+) = (?P<value>.+?)(?:\s+# (?P<why>.+))?")


class Line(msgspec.Struct, frozen=True):
    path: tuple[str, ...]  # of the table it stands in
    struct: type
    key: str
    value: Any
    commented: bool
    why: str
    inline: bool = False  # a key of an inline table


def struct_at(path: list[str]) -> type | None:
    """Which settings struct the table at a dotted path is; None for one of plain values."""
    info: inspect.Type = inspect.type_info(Settings)
    for name in path:
        if isinstance(info, inspect.StructType):
            info = next(field.type for field in info.fields if field.encode_name == name)
        else:
            assert isinstance(info, inspect.DictType)
            info = info.value_type
        if isinstance(info, inspect.UnionType):
            info = next((choice for choice in info.types if isinstance(choice, inspect.StructType)), info)
    return info.cls if isinstance(info, inspect.StructType) else None


def lines() -> Iterator[Line]:
    path: list[str] = []
    whole = _MULTILINE.sub(lambda found: json.dumps(found[1]), SHIPPED.read_text())
    for text in whole.splitlines():
        header = _HEADER.match(text)
        if header is not None:
            path = header["path"].split(".")
            continue
        found = _LINE.fullmatch(text)
        if found is None:
            continue
        value = tomllib.loads(f"value = {found['value']}")["value"]
        struct = struct_at(path)
        commented, why = found["comment"] is not None, found["why"] or ""
        if struct is not None:
            yield Line(tuple(path), struct, found["key"], value, commented, why)
        inner = struct_at([*path, found["key"]])
        if inner is not None:
            here = (*path, found["key"])
            yield from (Line(here, inner, key, item, commented, why, True) for key, item in value.items())


def structs(info: inspect.Type) -> Iterator[inspect.StructType]:
    """A settings struct and all that can stand in it."""
    if isinstance(info, inspect.StructType):
        yield info
        for field in info.fields:
            yield from structs(field.type)
    elif isinstance(info, inspect.DictType):
        yield from structs(info.value_type)
    elif isinstance(info, inspect.UnionType):
        for choice in info.types:
            yield from structs(choice)


FIELDS = [
    pytest.param(struct.cls, field, id=f"{struct.cls.__name__}.{field.name}")
    for struct in structs(inspect.type_info(Settings))
    if struct.cls is not Settings
    for field in struct.fields
]


def default_of(field: inspect.Field) -> object:
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.to_builtins(default)


@pytest.mark.parametrize(("struct", "field"), FIELDS)
def test_every_key_stands_in_the_file_with_a_reason_and_at_its_default(struct: type, field: inspect.Field) -> None:
    if isinstance(field.type, inspect.StructType) and not field.required:
        inner = field.type.cls
        assert any(line.struct is inner for line in lines()), f"no table of {field.name}"
        return
    found = [line for line in lines() if line.struct is struct and line.key == field.name]
    assert found, f"{field.name} does not stand in havok.toml"
    assert any(line.why for line in found), f"nothing explains {field.name}"
    if field.required:
        return
    commented = [line for line in found if line.commented]
    assert commented, f"{field.name} does not stand there as a comment"
    if default_of(field) is None:
        assert any("left out: " in line.why for line in commented), f"nothing says what {field.name} left out means"
    else:
        for line in commented:
            assert msgspec.json.encode(line.value) == msgspec.json.encode(default_of(field)), line.key


def test_it_is_sound_on_a_machine_of_one_core() -> None:
    loaded = read_settings(SHIPPED, cpus=(0,))
    assert loaded.faults == ()
    assert not any(compartment.cpus for compartment in loaded.settings.compartments.values())


def test_it_is_the_flights_example() -> None:
    settings = read_settings(SHIPPED, cpus=(0,)).settings
    assert {name for name, service in settings.services.items() if service.kind == "kv"} == {
        "airport",
        "plane",
        "flight",
    }
    assert {name: service.analytical for name, service in settings.services.items() if service.kind == "sql"} == {
        "departures": False,
        "plane_history": False,
        "route_delays": False,
        "busiest_routes": True,
    }
    assert len({service.compartment for service in settings.services.values()}) >= 2
    assert settings.services["plane"].fields
    assert len(settings.datasets["flights"].key) == 7
    for dataset in settings.datasets.values():
        assert dataset.source is not None
        assert Path(dataset.source).is_file()


COMMENTED = [
    pytest.param(line, id=".".join([*line.path, line.key])) for line in lines() if line.commented and not line.inline
]


@pytest.mark.parametrize("line", COMMENTED)
def test_every_commented_key_may_be_uncommented(line: Line) -> None:
    document: dict[str, Any] = tomllib.loads(SHIPPED.read_text())
    table = document
    for name in line.path:
        table = table.setdefault(name, {})
    table[line.key] = line.value
    findings: list[Finding] = []
    settings = convert(document, Settings, (), findings)
    declared: dict[str, Collection[str]] = {
        "datasets": settings.datasets,
        "compartments": settings.compartments,
        "services": settings.services,
    }
    assert findings + check(settings, (0,), declared) == []
