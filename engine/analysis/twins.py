"""DuckDB over the cold twins: the answer of an analytical query, in chunks.

Rule: only an executor imports this. A session reads files under the datasets directory and
nothing else, spills nowhere, fetches no extension, and its settings are locked. What a text
may do is asked again here (`engine.analysis.reading`), whoever made it; that the twins are
whole is not: whoever asks had them verified (`engine.analysis.verification`). One query at a time; its rows
stream, so that memory is bounded by what the query itself holds.
"""

import datetime
import glob
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from engine.analysis import reading
from engine.analysis.analytical import Analytical, schema_id
from engine.analysis.reports import explain
from engine.sqltype import TIMESTAMPTZ, family
from havok import layout
from havok.errors import DamagedVersion, Internal, StoreDown
from havok.manifest import TWIN_FILE, read_manifest

log = logging.getLogger(__name__)

CHUNK_ROWS = 1000  # a few hundred µs of Python between two looks at the clock
BUFFER_MB = 1  # finished rows that wait to be fetched
CHECKED_MAX = 256  # texts known to be harmless: as many as a compartment has services, and more
SCHEMAS_MAX = 1024  # versions; then they are read again

Row = tuple[Any, ...]


class Twins:
    def __init__(self, data_dir: Path, memory_mb: int, threads: int) -> None:
        self._data_dir = data_dir.resolve()
        self._memory_mb = memory_mb
        self.broken = False  # a fault of DuckDB's own: from then on it refuses everything
        self._bound: dict[str, str] = {}
        self._schemas: dict[tuple[str, str], str] = {}  # (dataset, version) → its columns' id
        self._checked: OrderedDict[str, None] = OrderedDict()
        self._session = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_mb}MiB",
                "threads": threads,
                "async_threads": 0,  # a query reads in its own threads; eight more were slower on a warm file
                "temp_directory": "",
                "max_temp_directory_size": "0KiB",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
            },
        )
        for setting in (
            "TimeZone = 'UTC'",
            "enable_progress_bar = false",
            f"streaming_buffer_size = '{BUFFER_MB}MiB'",
            f"allowed_directories = [{_text(str(self._data_dir / 'datasets') + '/')}]",
            "enable_external_access = false",
            "lock_configuration = true",  # the last one: from here on nothing can be set
        ):
            self._session.execute(f"SET {setting}")

    def run(
        self, analytical: Analytical, versions: Mapping[str, str], values: Mapping[str, Any]
    ) -> Iterator[list[Row]]:
        """Chunks of at most CHUNK_ROWS rows. `versions`: of every dataset it reads, verified; `values`: by parameter.

        A value is one of Python's, or the text that SQL casts to its type. Raises a HavokError, before or between
        chunks: QueryFailed for what values make of the query, QueryTimeout once interrupted.
        """
        convert = _converter([column.type for column in analytical.columns])
        try:
            self._check(analytical)
            for name, schema in zip(analytical.datasets, analytical.schemas, strict=True):
                self._bind(name, versions[name], schema)
            answer = self._session.execute(analytical.text, dict(values))
            while chunk := answer.fetchmany(CHUNK_ROWS):
                yield chunk if convert is None else [convert(row) for row in chunk]
        except (duckdb.Error, MemoryError) as error:
            self.broken = isinstance(error, duckdb.FatalException | duckdb.InternalException)
            raise explain(error, self._memory_mb) from None

    def interrupt(self) -> None:
        """From any thread: what runs ends with QueryTimeout. Nothing happens when nothing runs."""
        self._session.interrupt()

    def close(self) -> None:
        self._session.close()

    def _check(self, analytical: Analytical) -> None:
        """The text reads the plan's datasets and no more. Raises Internal."""
        if analytical.text in self._checked:
            self._checked.move_to_end(analytical.text)
            return
        try:
            reading.check(reading.parse(self._session, analytical.text), set(analytical.datasets))
        except reading.Refused as refused:
            raise Internal(f"the plan's statement is not one that may run: {refused.reason}") from None
        self._checked[analytical.text] = None
        if len(self._checked) > CHECKED_MAX:
            self._checked.popitem(last=False)

    def _bind(self, dataset: str, version: str, schema: str) -> None:
        """The dataset's name stands for this version. Raises StoreDown when it is not there, or not as it was."""
        if self._schema(dataset, version) != schema:
            raise StoreDown(f"{dataset} has other columns than the service was compiled on", retry_after_s=1)
        if self._bound.get(dataset) == version:
            return
        path = layout.version_dir(self._data_dir, dataset, version) / TWIN_FILE
        self._bound.pop(dataset, None)
        self._session.execute(
            f"CREATE OR REPLACE TEMP VIEW {_name(dataset)} AS "
            f"SELECT * FROM read_parquet({_text(glob.escape(str(path)))}, hive_partitioning = false)"
        )
        self._bound[dataset] = version

    def _schema(self, dataset: str, version: str) -> str:
        known = self._schemas.get((dataset, version))
        if known is not None:
            return known
        try:
            manifest = read_manifest(layout.version_dir(self._data_dir, dataset, version))
        except (DamagedVersion, OSError) as error:
            log.error("the twin of %s %s cannot be used: %s", dataset, version, error)
            raise StoreDown("the data of this version cannot be read now", retry_after_s=1) from None
        if len(self._schemas) >= SCHEMAS_MAX:
            self._schemas.clear()
        self._schemas[dataset, version] = schema_id(manifest.columns)
        return self._schemas[dataset, version]


def _converter(kinds: list[str]) -> Callable[[Row], Row] | None:
    """What DuckDB hands over → the engine's form; None when they are the same."""
    changes: list[tuple[int, Callable[[Any], Any]]] = []
    for number, kind in enumerate(kinds):
        if family(kind) == "opaque":
            changes.append((number, _raw))
        elif kind == TIMESTAMPTZ:
            changes.append((number, _in_utc))
    if not changes:
        return None

    def convert(row: Row) -> Row:
        made = list(row)
        for number, change in changes:
            if made[number] is not None:
                made[number] = change(made[number])
        return tuple(made)

    return convert


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _in_utc(moment: Any) -> Any:
    """A date beyond Python's calendar comes as text."""
    return moment.replace(tzinfo=datetime.UTC) if isinstance(moment, datetime.datetime) else f"{moment}+00"


def _text(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
