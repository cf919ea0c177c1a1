"""Asks PostgreSQL through asyncpg: `python -m bench.peers.asyncpg_app SOCKET_DIR FILE …`, a CSV per dataset.

It loads the tables, then asks with prepared statements on one connection, one call after the
other, and makes the JSON with orjson, as a service over PostgreSQL would.
"""

import os
import sys
from pathlib import Path

import asyncpg
import duckdb
import orjson
import uvloop

from bench.calls import obey
from bench.questions import DATASETS, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, Question, datasets, questions

_TYPES = {"BIGINT": "bigint", "VARCHAR": "text", "DOUBLE": "double precision", "TIMESTAMP": "timestamp"}


async def load(connection: asyncpg.Connection, dataset: str, path: str) -> None:
    found = datasets()[dataset]
    with duckdb.connect() as db:
        columns = db.execute(f"DESCRIBE FROM '{found.source}'").fetchall()
    typed = ", ".join(f"{name} {_TYPES[kind]}" for name, kind, *_ in columns)
    await connection.execute(f"CREATE TABLE {dataset} ({typed})")
    await connection.copy_to_table(dataset, source=Path(path), format="csv", header=True)
    await connection.execute(f"ALTER TABLE {dataset} ADD PRIMARY KEY ({', '.join(found.key)})")
    for name, index in found.indexes.items():
        await connection.execute(f"CREATE INDEX {name} ON {dataset} ({', '.join(index)})")
    await connection.execute(f"VACUUM ANALYZE {dataset}")


async def run(socket_dir: str, paths: list[str]) -> None:
    connection = await asyncpg.connect(host=socket_dir, user="postgres", database="postgres")
    # An average of integers is a NUMERIC there: told as a number, as everybody does.
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=float, format="text")
    for dataset, path in zip(DATASETS, paths, strict=True):
        await load(connection, dataset, path)
    asked = {name: questions()[name] for name in (DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS)}
    fetch = {name: (await connection.prepare(question.sql(numbered=True))).fetch for name, question in asked.items()}

    async def answer(question: Question, number: int) -> bytes:
        rows = await fetch[question.service](*question.calls[number].values())
        return orjson.dumps({"data": [dict(row) for row in rows]})

    await obey(asked, answer, (os.getpid(), connection.get_server_pid()))
    await connection.close()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], sys.argv[2:]))
