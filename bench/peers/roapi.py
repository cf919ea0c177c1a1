"""ROAPI's key-value endpoint: Havok's nearest relative, a Rust server over one table.

Its kv store maps one column to one other and returns the value as text, so the table it is
given holds each row's JSON ready. Logging is turned down to warnings: at its default it
writes a line for every request, which no other peer does.
"""

import os
import shutil
import sys
from pathlib import Path

import duckdb

from bench.peer import Drive, Place, Running
from bench.process import Server, answers, environment, free_ports
from bench.workload import AIRPORTS
from bench.wrk import wrk_missing

TARGET = "/api/kv/airport/{}"
_CONFIG = """
addr:
  http: 127.0.0.1:{http}
  postgres: 127.0.0.1:{postgres}
  flight_sql: 127.0.0.1:{flight_sql}
tables: []
kvstores:
  - name: airport
    uri: {rows}
    key: faa
    value: body
"""


def _program() -> str | None:
    """On PATH, or beside the Python that runs the benchmark."""
    return shutil.which("roapi", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]))


class Roapi:
    name = "ROAPI kv"

    def unavailable(self) -> str | None:
        return wrk_missing() or (None if _program() else "roapi is not installed (pip install roapi)")

    def start(self, place: Place) -> Running:
        port, postgres, flight_sql = free_ports(3)
        rows = place.directory / "airports.parquet"
        with duckdb.connect() as db:
            select = f"SELECT faa, to_json(t)::VARCHAR AS body FROM read_csv('{AIRPORTS}') t"
            db.execute(f"COPY ({select}) TO '{rows}' (FORMAT parquet)")
        config = place.directory / "roapi.yml"
        config.write_text(_CONFIG.format(http=port, postgres=postgres, flight_sql=flight_sql, rows=rows))
        argv = [_program() or "roapi", "-c", str(config)]
        server = Server(argv, place.cores.server, place.directory / "log", environment(RUST_LOG="warn"))
        code, row = next(iter(place.workload.airports.items()))
        server.wait_until(lambda: answers(port, TARGET.format(code), row))
        run = place.wrk(port, place.workload.airport_lookups(TARGET))
        return Running(
            pids=lambda: [server.pid], drives=(Drive(self.name, "wrk", run, note="RUST_LOG=warn"),), stop=server.stop
        )
