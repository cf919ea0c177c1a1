"""`havok init`: a small working project from the tables a person has.

Rule: it looks, guesses and writes one file; data is referred to where it lies. Nothing
that is there already is overwritten.
"""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from console import references, terminal
from console.key_guess import guess_key
from console.proposals import Proposal, Proposals, propose
from console.references import Table
from havok.config import read_settings
from havok.errors import OperatorError
from havok.settings import LoaderSettings
from loader import duck, reader
from loader.source import locate

CONFIG = "havok.toml"
SAMPLE = "cities.csv"
_QUALITY = """min_rows = 1         # a file that holds its header alone is refused, and the version before serves on
max_row_change = 0.5 # and one with over half as many rows more, or fewer, than the live version
"""
UPWARDS_MAX = 2  # a relative path with more of ../ is harder to read than an absolute one
_SAMPLE_ROWS = """code,name,country,population,latitude,longitude
ber,Berlin,Germany,3755000,52.52,13.40
bog,Bogotá,Colombia,7968000,4.71,-74.07
cai,Cairo,Egypt,10200000,30.04,31.24
del,Delhi,India,16788000,28.61,77.21
ist,Istanbul,Türkiye,15656000,41.01,28.98
lag,Lagos,Nigeria,15388000,6.52,3.38
lon,London,United Kingdom,8866000,51.51,-0.13
mex,Mexico City,Mexico,9210000,19.43,-99.13
nyc,New York,United States,8336000,40.71,-74.01
pek,Beijing,China,21893000,39.90,116.41
sao,São Paulo,Brazil,11452000,-23.55,-46.63
tyo,Tokyo,Japan,14094000,35.68,139.69
"""


def init(directory: Path, files: Sequence[Path], *, as_json: bool) -> None:
    """Raises OperatorError when there is a project already, LoadError for a file that cannot be read."""
    config = directory / CONFIG
    if config.exists():
        raise OperatorError(f"{config} is there already; remove it or choose another directory")
    sample = directory / SAMPLE
    if not files and sample.exists():
        raise OperatorError(f"{sample} is there already; to use it: havok init {directory} {sample}")
    names = _names(files or [sample])
    tables, proposals = _look(files, names, directory) if files else ([], Proposals())
    directory.mkdir(parents=True, exist_ok=True)
    if not files:
        sample.write_text(_SAMPLE_ROWS, encoding="utf-8")
        tables, proposals = _look([sample], names, directory)
    config.write_text(document(tables, _slug(directory.absolute().name), proposals), encoding="utf-8")
    if as_json:
        terminal.print_json({"config": str(config), "datasets": tables, "services": proposals.services})
    else:
        _say_next(directory, config, tables, proposals)


def _look(files: Sequence[Path], names: Sequence[str], directory: Path) -> tuple[list[Table], Proposals]:
    with (
        tempfile.TemporaryDirectory(prefix="havok-init-") as spill,
        duck.session(LoaderSettings(), Path(spill) / "spill", Path.cwd()) as connection,
    ):
        found: list[tuple[Table, str]] = []
        for file, name in zip(files, names, strict=True):
            relation = reader.read(connection, locate(os.path.abspath(file), Path.cwd()), {}, {})
            key, rows = guess_key(connection, relation.sql, relation.columns)
            columns, types = zip(*relation.columns, strict=True)
            found.append((Table(name, _shown(file, directory), key, rows, columns, types), relation.sql))
        tables = [table for table, _ in found]
        return tables, propose(tables, references.find(connection, found))


def _shown(file: Path, directory: Path) -> str:
    """Relative to the project while that is short."""
    absolute = os.path.abspath(file)
    relative = os.path.relpath(absolute, os.path.abspath(directory))
    return relative if relative.split(os.sep).count("..") <= UPWARDS_MAX else absolute


def _names(files: Sequence[Path]) -> list[str]:
    """A dataset's name for each file, all different."""
    names: list[str] = []
    for file in files:
        stem = _slug(file.name.split(".")[0])
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _slug(text: str) -> str:
    """Letters, digits, - and _ of a file's name, as a dataset's name must be."""
    found = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return (found if found[:1].isalpha() else f"t-{found}".rstrip("-"))[:50] if found else "table"


def document(tables: Sequence[Table], business: str, proposals: Proposals) -> str:
    """The text of havok.toml."""
    parts = [
        "# Written by havok init. Every key there is, with its default: the havok.toml in Havok's repository.\n"
        "# Look it over with: havok check\n",
        '[node]\ndata_dir = "var"                   # versions of the tables, relative to this file\n'
        'listen = "127.0.0.1:8080"          # the data plane: GET /v1/SERVICE\n'
        'admin = "127.0.0.1:8081"           # health and metrics\n',
        f'[compartments.main]                # worker processes of their own\nbusiness = "{business}"\n',
    ]
    for table in tables:
        key = f"key = {_array(table.key)}" if table.key else "key = []  # name the columns that together are unique"
        columns = _plain(", ".join(table.columns))
        listed = proposals.indexes.get(table.name, {})
        indexes = "".join(f"indexes.{name} = {_array(indexed)}\n" for name, indexed in listed.items())
        parts.append(
            f"[datasets.{table.name}]\nsource = {_string(table.source)}\n{key}\n"
            + indexes
            + f"# columns: {columns[:200]}\n"
            + (f"[datasets.{table.name}.quality]\n{_QUALITY}" if table.rows else "")
        )
        parts.append(
            f"[services.{table.name}]  # GET /v1/{table.name}?{_query(table)}\n"
            f'kind = "kv"\ndataset = "{table.name}"\ncompartment = "main"\n'
        )
    parts += [_service(proposal) for proposal in proposals.services]
    return "\n".join(parts)


def _service(proposal: Proposal) -> str:
    sql = proposal.sql.replace("\\", "\\\\").replace('"', '\\"')
    limit = 'params = { limit = { type = "int", default = 100, min = 1, max = 1000 } }\n' if proposal.has_limit else ""
    return (
        f"# {_plain(proposal.says).capitalize()}; what it costs: havok plan {proposal.name}\n"
        f"[services.{proposal.name}]  # GET /v1/{proposal.name}?{_plain(proposal.sample)}\n"
        f'kind = "sql"\ncompartment = "main"\nsql = """\n{sql}\n"""\n{limit}'
    )


def _query(table: Table) -> str:
    return "&".join(f"{quote(column, safe='')}=…" for column in table.key) or "…"


def _plain(text: str) -> str:
    """As a comment may hold it: on one line, without control characters."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)


def _array(values: Sequence[str]) -> str:
    return f"[{', '.join(_string(value) for value in values)}]"


def _string(value: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _say_next(directory: Path, config: Path, tables: Sequence[Table], proposals: Proposals) -> None:
    terminal.say(f"wrote {config}")
    for table in tables:
        key = ", ".join(table.key) or terminal.paint("none found", "red")
        terminal.say(f"  {table.name}: {terminal.plural(table.rows, 'row')}, key {key}, at /v1/{table.name}")
    for proposal in proposals.services:
        terminal.say(f"  {proposal.name}: {proposal.says}, at /v1/{proposal.name}?{_plain(proposal.sample)}")
    for sentence in proposals.left_out:
        terminal.warn(sentence)
    without = [table.name for table in tables if not table.key]
    for name in without:
        terminal.warn(f"{name}: no column, pair or triple is unique and never null; set key of [datasets.{name}]")
    faults = [fault for fault in read_settings(config).faults if fault.key.rpartition(".")[2] != "key"]
    for fault in faults:
        terminal.warn(str(fault))
    first = f"edit {config}, then: " if without else "next: "
    go = "" if directory.resolve() == Path.cwd() else f"cd {directory} && "
    terminal.say(f"{first}{go}havok serve")
