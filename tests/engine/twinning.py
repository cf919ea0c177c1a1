"""Datasets loaded with the real loader, and the words for running SQL over their twins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from engine.analysis.analytical import Analytical
from engine.analysis.twins import Twins
from engine.sql.analytical import compile_analytical
from havok import layout
from havok.manifest import Manifest, read_manifest
from havok.settings import DatasetSettings, LoaderSettings, ParamSettings
from loader import activation, candidate, publish


class Twinned:
    """A data directory with live versions."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "var"
        self._directory = directory
        self.manifests: dict[str, Manifest] = {}
        self.versions: dict[str, str] = {}

    def load(self, name: str, select: str, key: tuple[str, ...]) -> str:
        """The new version's id."""
        file = self._directory / f"{name}.parquet"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        return self.load_file(name, file, key)

    def load_file(self, name: str, file: Path, key: tuple[str, ...]) -> str:
        publish.publish(
            publish.LoadRequest(
                data_dir=self.data_dir, dataset=name, settings=DatasetSettings(key=key),
                config_dir=self._directory, loader=LoaderSettings(memory_mb=256, threads=1), source=str(file),
            ),
            activation.NoNode(),
            candidate.Silent(),
        )  # fmt: skip
        live = layout.live_version(self.data_dir, name)
        assert live is not None
        self.versions[name] = live
        self.manifests[name] = read_manifest(self.place(name))
        return live

    def place(self, name: str) -> Path:
        return layout.version_dir(self.data_dir, name, self.versions[name])

    def compiled(self, sql: str, params: Mapping[str, ParamSettings] | None = None) -> Analytical:
        return compile_analytical(sql, self.manifests, params or {})[0]

    def answer(self, twins: Twins, sql: str, /, **values: Any) -> list[tuple[Any, ...]]:
        chunks = twins.run(self.compiled(sql), self.versions, values)
        return [row for chunk in chunks for row in chunk]
