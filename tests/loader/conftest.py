"""A desk: a config directory with sources, a data directory, and short words for what people do."""

import csv
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest

from havok import layout
from havok.keys import encode
from havok.manifest import ROWS_DB, ROWS_FILE, Manifest, read_manifest
from havok.rows import unseal
from havok.settings import DatasetSettings, LoaderSettings
from loader import activation, candidate, duck, publish

SMALL = LoaderSettings(memory_mb=256, threads=2)


class Recorder:
    """A node and a progress that remember what they were told, and fail where they are asked to."""

    def __init__(self, fail: dict[str, BaseException] | None = None) -> None:
        self.seen: list[str] = []
        self.counts: list[tuple[int, int]] = []
        self.fail = fail or {}

    def _note(self, what: str) -> None:
        self.seen.append(what)
        if what in self.fail:
            raise self.fail[what]

    def accept(self, manifest: Manifest) -> None:
        self._note("accept")

    def stage(self, dataset: str, version: str) -> None:
        self._note("stage")

    def announce(self, dataset: str, version: str) -> None:
        self._note("announce")

    def step(self, number: int, name: str) -> None:
        self._note(f"step {number}")

    def rows(self, done: int, total: int) -> None:
        self.counts.append((done, total))


class Desk:
    def __init__(self, path: Path) -> None:
        self.config_dir = path / "config"
        self.data_dir = path / "var"
        self.config_dir.mkdir()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.config_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
        path = self.config_dir / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    def parquet(self, name: str, select: str) -> Path:
        path = self.config_dir / name
        with duck.session(SMALL, self.config_dir / "spill") as connection:
            connection.execute(f"COPY ({select}) TO {duck.text(str(path))} (FORMAT parquet)")
        return path

    def request(self, source: str | None, key: Sequence[str] = ("id",), **settings: Any) -> publish.LoadRequest:
        fields = {name: settings.pop(name) for name in list(settings) if name in publish.LoadRequest.__struct_fields__}
        return publish.LoadRequest(
            data_dir=self.data_dir,
            dataset="things",
            settings=DatasetSettings(key=tuple(key), **settings),
            config_dir=self.config_dir,
            **{"loader": SMALL, "source": source, **fields},
        )

    def load(
        self,
        source: str | None,
        key: Sequence[str] = ("id",),
        *,
        node: activation.NodeHooks | None = None,
        progress: candidate.Progress | None = None,
        now: datetime.datetime | None = None,
        **settings: Any,
    ) -> publish.LoadResult:
        return publish.publish(
            self.request(source, key, **settings),
            node or activation.NoNode(),
            progress or candidate.Silent(),
            now=now,
        )

    @property
    def home(self) -> Path:
        return layout.dataset_dir(self.data_dir, "things")

    @property
    def live(self) -> str | None:
        return layout.live_version(self.data_dir, "things")

    def place(self, version: str | None = None) -> Path:
        version = version or self.live
        assert version is not None
        return layout.version_dir(self.data_dir, "things", version)

    def manifest(self, version: str | None = None) -> Manifest:
        return read_manifest(self.place(version))

    def entries(self, database: bytes = ROWS_DB, version: str | None = None) -> list[tuple[bytes, bytes]]:
        with lmdb.open(
            str(self.place(version) / ROWS_FILE), subdir=False, readonly=True, lock=False, max_dbs=8
        ) as environment:
            handle = environment.open_db(database, create=False)
            with environment.begin(db=handle) as transaction:
                return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]

    def rows(self, version: str | None = None) -> list[Any]:
        """Every row's JSON, decoded, in key order (short keys only)."""
        return [msgspec.json.decode(unseal(key, value) or b"") for key, value in self.entries(version=version)]

    def row(self, *key: Any) -> bytes | None:
        """The JSON bytes of one row, as a reader finds them."""
        from havok.keys import bounded

        encoding = encode([column.kind for column in self.manifest().key], key)
        found = dict(self.entries()).get(bounded(encoding))
        return None if found is None else unseal(encoding, found)

    def traces(self) -> list[str]:
        """What lies in the dataset's directory beside its lock."""
        return sorted(path.name for path in self.home.iterdir() if path.name != "lock")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duck.Session]:
    with duck.session(SMALL, tmp_path_factory.mktemp("spill")) as connection:
        yield connection
