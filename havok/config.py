"""Reading havok.toml and what it includes, into settings and a list of every fault.

Rule: all that touches a disk or the machine for the sake of settings is here, and none
of it raises for what a file says: `read_settings` returns the sound part and the faults,
`load_settings` refuses unless all is sound. What stands in a file is turned into
structs by `havok.typed` and compared by `havok.relations`, both pure.
"""

import ast
import glob
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from havok import relations, typed
from havok.errors import ConfigError, Fault
from havok.settings import DatasetSettings, Settings, is_select

FILE_BYTES_MAX = 4 * 1024 * 1024  # a few ten thousand services; a larger one is no configuration
INCLUDED_FILES_MAX = 1000

EXTRA = "(services added at run time)"  # stands where a file name would
LATER_KINDS = ("union", "ingest")

_ENTRIES = ("datasets", "compartments", "services")  # tables of named entries: each stands in one file
_SECTIONS = ("node", "loader", *_ENTRIES)
_REPEATED = (  # what tomllib says of a table or a key → what is said of it
    (re.compile(r"Cannot declare (?P<path>\(.*\)) twice", re.DOTALL), "[{}] stands there twice: make one of the two"),
    (
        re.compile(r"Cannot mutate immutable namespace (?P<path>\(.*\))", re.DOTALL),
        "{0} stands there as {{ … }} already: write this inside it, or each of its keys on a line, as this one",
    ),
    (
        re.compile(r"Cannot redefine namespace (?P<path>\(.*\))", re.DOTALL),
        "{} stands there already: make one of the two",
    ),
)
_AT = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)


class Loaded(msgspec.Struct, frozen=True):
    """`settings` holds what is sound: an entry with a fault, or one that stands on it, is left out."""

    settings: Settings
    faults: tuple[Fault, ...]
    files: tuple[str, ...]  # every TOML file that was read, the main one first
    root: Path  # directory of the main file, absolute
    data_dir: Path  # absolute


class _Merged:
    """The tables of all files as one, and which file each entry came from."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
        self.origin: dict[tuple[str, str], str] = {}
        self.faults: list[Fault] = []

    def add(self, file: str, document: Mapping[str, Any]) -> None:
        for section, table in document.items():
            if section not in self.tables:
                self.faults.append(Fault(file, typed.dotted((section,)), typed.unknown(section, _SECTIONS)))
            elif not isinstance(table, Mapping):
                reason = f"expected a table, got {typed.shown(table)}"
                self.faults.append(Fault(file, section, reason))
            else:
                self._add_section(file, section, table)

    def _add_section(self, file: str, section: str, table: Mapping[str, Any]) -> None:
        for name, value in table.items():
            first = self.origin.get((section, name))
            if first is None:
                self.origin[section, name] = file
                self.tables[section][name] = value
            else:
                what = f"this {section[:-1]}" if section in _ENTRIES else "this key"
                reason = f"{what} stands in {first} already; remove one of the two"
                self.faults.append(Fault(file, typed.dotted((section, name)), reason))

    def fault(self, main: str, finding: typed.Finding) -> Fault:
        file = main
        if len(finding.path) > 1:
            file = self.origin.get((str(finding.path[0]), str(finding.path[1])), main)
        return Fault(file, typed.dotted(finding.path), finding.reason)


def load_settings(path: Path, cpus: Collection[int] | None = None) -> Settings:
    """The settings of a file and all it includes. Raises ConfigError with every fault."""
    loaded = read_settings(path, cpus=cpus)
    if loaded.faults:
        raise ConfigError(list(loaded.faults))
    return loaded.settings


def read_settings(
    path: Path,
    extra_services: Mapping[str, Mapping[str, Any]] | None = None,
    cpus: Collection[int] | None = None,
    trial: tuple[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> Loaded:
    """Never raises for what the files say. `cpus`: the cores we may use, by default this process's.

    `trial`: a file that is no part of the configuration yet, and the services in it.
    """
    root = Path(os.path.abspath(path)).parent
    main = str(path)
    merged = _Merged()
    document = _read_toml(path, main, merged.faults)
    files = [main]
    if document is not None:
        merged.add(main, document)
        for included in _included(path, root, merged):
            addition = _read_toml(included, str(included), merged.faults)
            if addition is not None:
                merged.add(str(included), _without_include(str(included), addition, merged.faults))
            files.append(str(included))
    if extra_services:
        merged.add(EXTRA, {"services": extra_services})
    if trial is not None:
        merged.add(trial[0], {"services": trial[1]})
    settings, findings = _settle(merged, root, os.sched_getaffinity(0) if cpus is None else cpus)
    faults = [*merged.faults, *(merged.fault(main, finding) for finding in findings)]
    faults = [_advised(fault) if fault.file == EXTRA else fault for fault in faults]
    order = {file: position for position, file in enumerate(files)}
    faults.sort(key=lambda fault: order.get(fault.file, len(files)))
    return Loaded(settings, tuple(faults), tuple(files), root, Path(settings.node.data_dir))


def _advised(fault: Fault) -> Fault:
    """No file holds a service that was added at run time: a person must be told how else to mend it."""
    name = fault.key.removeprefix("services.").partition(".")[0]
    advice = f"mend the file, or take the service back with: havok services remove {name}"
    return Fault(fault.file, fault.key, f"{fault.reason}; {advice}")


def _settle(merged: _Merged, root: Path, cpus: Collection[int]) -> tuple[Settings, list[typed.Finding]]:
    """Merged tables → the sound settings, and what is wrong with the rest."""
    declared = {section: frozenset(merged.tables[section]) for section in _ENTRIES}
    findings: list[typed.Finding] = []
    services = {}
    for name, table in merged.tables["services"].items():
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if kind in LATER_KINDS and isinstance(kind, str):
            reason = f'this version of Havok serves the kinds kv and sql, not "{kind}" yet'
            findings.append(typed.Finding(("services", name, "kind"), reason))
        else:
            services[name] = table
    settings = typed.convert({**merged.tables, "services": services}, Settings, (), findings)
    wrong = [finding.path for finding in findings]
    findings += relations.check_names(declared)
    findings += [
        finding
        for finding in relations.check(settings, cpus, declared)
        if not any(_within(path, about) for path in wrong for about in (finding.about or (finding.path,)))
    ]
    return _absolute(_sound(settings, findings), merged, root), findings


def _within(path: typed.Path, about: typed.Path) -> bool:
    """Whether a fault at `path` spoils what stands at `about`: it is that, in it, or around it."""
    shorter = min(len(path), len(about))
    return path[:shorter] == about[:shorter]


def _sound(settings: Settings, findings: list[typed.Finding]) -> Settings:
    bad = {finding.path[:2] for finding in findings}
    datasets = {name: entry for name, entry in settings.datasets.items() if ("datasets", name) not in bad}
    compartments = {name: entry for name, entry in settings.compartments.items() if ("compartments", name) not in bad}
    services = {
        name: entry
        for name, entry in settings.services.items()
        if ("services", name) not in bad
        and (entry.dataset is None or entry.dataset in datasets)  # what SQL names is the planner's to find
        and entry.compartment in compartments
    }
    node_keys = {str(path[1]) for path in bad if path[0] == "node" and len(path) > 1}
    defaults = msgspec.structs.asdict(type(settings.node)())
    node = msgspec.structs.replace(settings.node, **{key: defaults[key] for key in node_keys & defaults.keys()})
    loader = type(settings.loader)() if any(path[0] == "loader" for path in bad) else settings.loader
    return Settings(node=node, loader=loader, datasets=datasets, compartments=compartments, services=services)


def _absolute(settings: Settings, merged: _Merged, root: Path) -> Settings:
    """Relative paths made absolute: the data directory's from the main file, a source's from its own."""
    datasets = {}
    for name, dataset in settings.datasets.items():
        file = merged.origin[("datasets", name)]
        datasets[name] = _with_source(dataset, Path(os.path.abspath(file)).parent)
    data_dir = os.path.abspath(root / settings.node.data_dir)
    return msgspec.structs.replace(
        settings, datasets=datasets, node=msgspec.structs.replace(settings.node, data_dir=data_dir)
    )


def _with_source(dataset: DatasetSettings, directory: Path) -> DatasetSettings:
    source = dataset.source
    if source is None or is_select(source) or "://" in source:
        return dataset
    return msgspec.structs.replace(dataset, source=os.path.join(directory, source))


def _read_toml(path: Path, file: str, faults: list[Fault]) -> dict[str, Any] | None:
    """One file's document; None, with a fault, when there is none to be had."""
    try:
        with open(path, "rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
        if len(raw) <= FILE_BYTES_MAX:
            return tomllib.loads(raw.decode("utf-8-sig"))
        reason = f"is larger than {FILE_BYTES_MAX >> 20} MiB"
    except FileNotFoundError:
        reason = "there is no such file; `havok init DIR` writes one, and -c names another"
    except IsADirectoryError:
        reason = "is a directory; name the TOML file in it"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"line {line}: is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        reason = syntax(str(error))
    except RecursionError:
        reason = "is nested too deeply"
    except ValueError:  # what Python says of an integer of thousands of digits
        reason = "holds an integer of more than 64 bits"
    faults.append(Fault(file, "", reason))
    return None


def syntax(message: str) -> str:
    """`Invalid value (at line 1, column 5)` → `line 1, column 5: invalid value`."""
    found = _AT.fullmatch(message)
    if found is None:
        return message
    place = f"line {found['line']}, column {found['column']}" if found["line"] else "at its end"
    what = found["what"]
    for form, said in _REPEATED:
        if repeated := form.fullmatch(what):
            return f"{place}: {said.format(_written(repeated['path']))}"
    return f"{place}: {what[:1].lower()}{what[1:]}"


def _written(path: str) -> str:
    """tomllib's word for a key, Python's text of a tuple or a string, as TOML has it."""
    found = ast.literal_eval(path)
    return typed.dotted(found if isinstance(found, tuple) else (found,))


def _included(path: Path, root: Path, merged: _Merged) -> list[Path]:
    """The files that `node.include` names, sorted within each pattern, each once."""
    patterns = merged.tables["node"].get("include", [])
    if not isinstance(patterns, list):
        return []  # a fault of its own, found when it is converted
    main = os.path.abspath(path)
    found: dict[str, Path] = {}
    for position, pattern in enumerate(patterns):
        if not isinstance(pattern, str):
            continue
        try:
            names = sorted(glob.glob(pattern, root_dir=root, recursive=True))
        except (OSError, ValueError, re.error) as error:
            merged.faults.append(Fault(str(path), f"node.include[{position}]", f"is no pattern: {error}"))
            continue
        if not names and not glob.has_magic(pattern):
            reason = f"there is no file {pattern} in {root}"
            merged.faults.append(Fault(str(path), f"node.include[{position}]", reason))
        for name in names:
            absolute = os.path.abspath(root / name)
            if absolute != main and (os.path.isfile(absolute) or not glob.has_magic(pattern)):
                found.setdefault(absolute, path.parent / name)
    if len(found) > INCLUDED_FILES_MAX:
        reason = f"matches {len(found)} files; at most {INCLUDED_FILES_MAX} are read"
        merged.faults.append(Fault(str(path), "node.include", reason))
    return list(found.values())[:INCLUDED_FILES_MAX]


def _without_include(file: str, document: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    node = document.get("node")
    if not isinstance(node, dict) or "include" not in node:
        return document
    faults.append(Fault(file, "node.include", "only the main file can include others"))
    return {**document, "node": {key: value for key, value in node.items() if key != "include"}}
