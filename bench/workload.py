"""What every server is asked: the same airports and flights, in the same shuffled order.

Rule: rows are rendered once, by DuckDB, and every peer that stores JSON stores these bytes.
A fixed seed shuffles the keys, so that no peer profits from neighbours in its file.
"""

import random
from urllib.parse import urlencode

import duckdb
import msgspec

from bench.process import REPOSITORY

AIRPORTS = REPOSITORY / "examples" / "flights" / "airports.csv"
FLIGHTS = REPOSITORY / "examples" / "flights" / "flights.parquet"
FLIGHT_KEY = ("origin", "year", "month", "day", "carrier", "flight", "sched_dep_time")
FLIGHT_FIELDS = ("dest", "dep_delay", "tailnum")
FLIGHTS_SAMPLED = 2000
BATCH_KEYS = 100
BATCHES = 64
API_KEY = "bench-0123456789abcdef0123456789abcdef"  # as long as a real one; no service here asks for it
SEED = 20130101


class Request(msgspec.Struct, frozen=True):
    """One request as a client with a key sends it; a body makes it a POST of JSON."""

    target: str
    body: str = ""
    headers: tuple[str, ...] = ()  # whole lines

    def raw(self, port: int) -> bytes:
        lines = [
            f"{'POST' if self.body else 'GET'} {self.target} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"X-Api-Key: {API_KEY}",
            *self.headers,
        ]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body.encode())}"]
        return "\r\n".join([*lines, "", self.body]).encode()


class Workload(msgspec.Struct, frozen=True):
    """`airports`: code → row as JSON bytes, shuffled; `flights`: query strings of whole keys."""

    airports: dict[str, bytes]
    flights: tuple[str, ...]

    @property
    def answer_bytes(self) -> int:
        """Mean size of `{"data": row}` over the airports."""
        total = sum(len(row) for row in self.airports.values())
        return round(total / len(self.airports)) + len(b'{"data":}')

    def airport_lookups(self, pattern: str) -> tuple[Request, ...]:
        """`pattern` holds `{}` where the code goes."""
        return tuple(Request(pattern.format(code)) for code in self.airports)

    def traced_lookups(self, pattern: str) -> tuple[Request, ...]:
        """The same, each with a `traceparent` of its own, as a traced client sends."""
        rng = random.Random(SEED)
        return tuple(
            Request(
                pattern.format(code),
                headers=(f"traceparent: 00-{rng.randbytes(16).hex()}-{rng.randbytes(8).hex()}-01",),
            )
            for code in self.airports
        )

    def flight_lookups(self, service: str) -> tuple[Request, ...]:
        return tuple(Request(f"/v1/{service}?{query}") for query in self.flights)

    def airport_batches(self, service: str) -> tuple[Request, ...]:
        """Each asks for `BATCH_KEYS` codes drawn at random."""
        rng = random.Random(SEED)
        codes = list(self.airports)
        bodies = (msgspec.json.encode({"keys": rng.sample(codes, BATCH_KEYS)}).decode() for _ in range(BATCHES))
        return tuple(Request(f"/v1/{service}", body) for body in bodies)


def read_workload() -> Workload:
    rng = random.Random(SEED)
    with duckdb.connect() as db:
        airports = db.execute("SELECT faa, to_json(t) FROM read_csv(?) t ORDER BY faa", [str(AIRPORTS)]).fetchall()
        columns = ", ".join(FLIGHT_KEY)
        flights = db.execute(
            f"SELECT {columns} FROM read_parquet(?) ORDER BY hash({columns}) LIMIT ?", [str(FLIGHTS), FLIGHTS_SAMPLED]
        ).fetchall()
    rng.shuffle(airports)
    return Workload(
        airports={code: row.encode() for code, row in airports},
        flights=tuple(urlencode(dict(zip(FLIGHT_KEY, row, strict=True))) for row in flights),
    )
