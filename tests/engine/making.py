"""Small snapshots, plans and routes, made with lmdb and `havok.rows.seal` alone."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import lmdb
import msgspec

from engine.http.route import Route
from engine.plan import Point
from engine.planner import plan_lookup
from engine.program import Compiled, Program
from engine.snapshot import Snapshot, open_snapshot
from havok.keys import KeyColumn, KeyKind, KeyValue, encode
from havok.manifest import MANIFEST_FILE, ROWS_DB, ROWS_FILE, Column, Manifest, encode_manifest, hash_file
from havok.rows import seal
from havok.settings import ServiceSettings

VERSION = "20261123T030405Z-1a2b3c4d"
BIG = "x" * 20_000
DATE = b"Mon, 23 Nov 2026 08:00:00 GMT"
DUCK_TYPES: dict[KeyKind, str] = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "uint": "UBIGINT",
    "wide": "DECIMAL(38,0)",
    "bool": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}

Row = tuple[tuple[KeyValue, ...], Mapping[str, object]]
OnDamage = Callable[[Snapshot, str], None]


def write_version(
    directory: Path,
    key: Sequence[tuple[str, KeyKind]],
    rows: Sequence[Row],
    *,
    columns: Sequence[tuple[str, str]] = (),
    version: str = VERSION,
    dataset: str = "airports",
    spoil: Mapping[bytes, bytes] | None = None,
) -> Path:
    """A version directory. `columns` besides the key; `spoil`: LMDB keys whose value is another."""
    kinds = [kind for _, kind in key]
    sealed = dict(seal(encode(kinds, values), msgspec.json.encode(row)) for values, row in rows)
    sealed.update(spoil or {})
    directory.mkdir(parents=True)
    path = directory / ROWS_FILE
    with lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 28, max_dbs=2) as environment:
        database = environment.open_db(ROWS_DB)
        with environment.begin(write=True, db=database) as transaction:
            for sealed_key in sorted(sealed):
                assert transaction.put(sealed_key, sealed[sealed_key])
    manifest = Manifest(
        dataset=dataset,
        version=version,
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        columns=(*(Column(name, DUCK_TYPES[kind]) for name, kind in key), *(Column(*column) for column in columns)),
        key=tuple(KeyColumn(name, kind) for name, kind in key),
        rows=len(sealed),
        files={ROWS_FILE: hash_file(path)},
        source="test",
    )
    (directory / MANIFEST_FILE).write_bytes(encode_manifest(manifest))
    return directory


def write_airports(directory: Path, *, version: str = VERSION) -> Path:
    """JFK, LGA and the like, each row with the version it belongs to as `marker`."""
    rows: list[Row] = [
        ((code,), {"faa": code, "name": f"Airport {code}", "lat": number + 0.5, "marker": version})
        for number, code in enumerate(AIRPORTS)
    ]
    columns = (("name", "VARCHAR"), ("lat", "DOUBLE"), ("marker", "VARCHAR"))
    return write_version(directory, [("faa", "string")], rows, columns=columns, version=version)


AIRPORTS = ("JFK", "LGA", "EWR", "BOS", "SFO", "a b", "ä", "x&y=z", "%41", "+", "")


def program_of(snapshot: Snapshot, **settings: object) -> Program:
    """A kv service over the snapshot's dataset; it takes the caller's lease."""
    plan = plan_lookup("airport", service_of(snapshot.dataset, **settings), snapshot.manifest)
    assert isinstance(plan.access, Point)
    program = Program(Compiled(plan, plan.access), {snapshot.dataset: snapshot})
    snapshot.release()
    return program


def service_of(dataset: str, **settings: object) -> ServiceSettings:
    table = {"kind": "kv", "dataset": dataset, "compartment": "travel-high", **settings}
    return msgspec.convert(table, ServiceSettings)


def route_of(directory: Path, on_damage: OnDamage | None = None, **settings: object) -> Route:
    return Route(program_of(open_snapshot(directory, on_damage), **settings), DATE)


def two_routes(directory: Path) -> tuple[Route, Route]:
    """Of two services over one version."""
    snapshot = open_snapshot(directory)
    snapshot.acquire()
    return Route(program_of(snapshot), DATE), Route(program_of(snapshot), DATE)
