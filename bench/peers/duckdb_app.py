"""Asks DuckDB over Parquet files: `python -m bench.peers.duckdb_app FILE …`, a file per dataset.

Each SQL is parsed once; what remains of a call is bind, execute, fetch, and JSON by orjson.
"""

import asyncio
import os
import sys

import duckdb
import orjson

from bench.calls import obey
from bench.questions import DATASETS, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, Question, questions


def main(paths: list[str]) -> None:
    db = duckdb.connect(config={"threads": 1})
    for dataset, path in zip(DATASETS, paths, strict=True):
        db.execute(f"CREATE VIEW {dataset} AS FROM read_parquet('{path}')")
    db.execute("SET parquet_metadata_cache = true")  # known once a Parquet file was opened
    asked = {name: questions()[name] for name in (DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS)}
    parsed = {name: db.extract_statements(question.sql(numbered=False))[0] for name, question in asked.items()}

    async def answer(question: Question, number: int) -> bytes:
        found = db.execute(parsed[question.service], question.calls[number])
        names = [column[0] for column in found.description or ()]
        return orjson.dumps({"data": [dict(zip(names, row, strict=True)) for row in found.fetchall()]})

    asyncio.run(obey(asked, answer, (os.getpid(),)))


if __name__ == "__main__":
    main(sys.argv[1:])
