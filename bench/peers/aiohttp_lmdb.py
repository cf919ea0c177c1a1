"""aiohttp.web over LMDB by hand: what Havok replaces, one micro-service per table."""

from pathlib import Path

import lmdb

from bench.peer import Drive, Place, Running
from bench.process import Server, answers, free_port, python
from bench.workload import Workload
from bench.wrk import wrk_missing

MAP_BYTES = 64 * 1024 * 1024
TARGET = "/v1/airport?faa={}"


def write_rows(path: Path, workload: Workload) -> None:
    with lmdb.open(str(path), subdir=False, map_size=MAP_BYTES) as env, env.begin(write=True) as transaction:
        for code, row in workload.airports.items():
            transaction.put(code.encode(), row)


class AiohttpLmdb:
    name = "aiohttp.web + LMDB by hand"

    def unavailable(self) -> str | None:
        return wrk_missing()  # aiohttp and lmdb are what Havok itself stands on

    def start(self, place: Place) -> Running:
        port = free_port()
        rows = place.directory / "rows.mdb"
        write_rows(rows, place.workload)
        argv = python("bench.peers.aiohttp_app", str(port), str(rows))
        server = Server(argv, place.cores.server, place.directory / "log")
        code, row = next(iter(place.workload.airports.items()))
        server.wait_until(lambda: answers(port, TARGET.format(code), row))
        run = place.wrk(port, place.workload.airport_lookups(TARGET))
        return Running(
            pids=lambda: [server.pid], drives=(Drive(self.name, "wrk", run, note="uvloop"),), stop=server.stop
        )
