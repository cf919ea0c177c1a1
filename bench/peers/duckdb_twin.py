"""DuckDB in a process, over the cold twins: what a service would be without Havok's keyed rows."""

from bench.calls import Callee
from bench.peer import Drive, Place, Running
from bench.process import Server, python
from bench.questions import DATASETS, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, datasets
from bench.snapshots import load
from havok.layout import version_dir
from havok.manifest import TWIN_FILE

ASKED = {service: f"DuckDB on the twin, {service}" for service in (DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS)}


class DuckdbTwin:
    name = "DuckDB on the twin"

    def unavailable(self) -> str | None:
        return None  # Havok itself stands on DuckDB

    def start(self, place: Place) -> Running:
        twins = []
        for name in DATASETS:
            found = datasets()[name]
            result = load(place.directory, name, found.key, found.source or "")
            twins.append(str(version_dir(place.directory, name, result.version) / TWIN_FILE))
        argv = python("bench.peers.duckdb_app", *twins)
        server = Server(argv, place.cores.server, place.directory / "log", talks=True)
        callee = Callee(server)
        note = "one thread, prepared, its cache of Parquet metadata on; nothing but the process is counted"
        drives = tuple(
            Drive(row, "itself", callee.drive(service), note=note if service == DEPARTURES else "")
            for service, row in ASKED.items()
        )
        return Running(lambda: callee.pids, drives, server.stop, callee.answer)
