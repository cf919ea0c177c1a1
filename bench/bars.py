"""What the figures must reach, and whether they do.

Rule: a bar stands here once, with its aim, and every benchmark prints its own beside what
it measured. A figure that could not be measured is no pass.
"""

from typing import Literal

import msgspec

Unit = Literal["×", "keys/s", "s", "MB", "KiB", "count", "ms", "µs"]


class Bar(msgspec.Struct, frozen=True):
    """`bar` None: there is only an aim. `least`: figures must be at least this, not at most."""

    measure: str
    unit: Unit
    bar: float | None
    aim: float
    least: bool = False

    def reaches(self, figure: float, wanted: float) -> bool:
        return figure >= wanted if self.least else figure <= wanted


class Verdict(msgspec.Struct, frozen=True):
    """A figure against its bar; `figure` None: it was not measured."""

    bar: Bar
    figure: float | None
    passed: bool
    aimed: bool


GET_OVER_NGINX = Bar("kv GET, CPU per request over nginx's constant", "×", 1.4, 1.2)
GET_OVER_AIOHTTP = Bar("the same over aiohttp.web + LMDB by hand", "×", 0.33, 0.25)
GET_OVER_ROAPI = Bar("the same over ROAPI kv", "×", 0.6, 0.5)
FIELDS_OVER_ROW = Bar("kv GET of three fields of nineteen over the whole row", "×", 1.25, 1.1)
BATCH_KEYS = Bar("batch of 100 keys, in a second of one core", "keys/s", 500_000, 900_000, least=True)
LOAD_OVER_DUCKDB = Bar("load of 1 M rows over DuckDB's own sort and to_json", "×", 2.5, 1.6)
SWAP_FAILED = Bar("swaps under load: failed requests", "count", 0, 0)
SWAP_MIXED = Bar("swaps under load: answers that mix versions", "count", 0, 0)
SWAP_STEP = Bar("swaps under load: p99.9 step over loads that activate nothing", "ms", None, 1.0)
WORKER_USS = Bar("private memory (USS) of a worker, without snapshot pages", "MB", 45, 30)
START = Bar("havok serve with snapshots → first 200", "s", 2.5, 1.0)
SQL_POINT_OVER_KV = Bar("look-up of three fields by SQL over the kv service, CPU per request", "×", 1.15, 1.05)
DEPARTURES = Bar("departures: 300 rows scanned, 20 answered, CPU per request", "µs", 400, 150)
PLANE_HISTORY = Bar("plane_history: 100 rows by an index, joined, CPU per request", "µs", 600, 250)
ROUTE_DELAYS = Bar("route_delays: 9,000 rows grouped, CPU per request", "ms", 12, 5)
DEPARTURES_OVER_DUCKDB = Bar("departures over DuckDB in process on the cold twin", "×", 0.5, 0.1)
PLANE_HISTORY_OVER_DUCKDB = Bar("plane_history over the same", "×", 0.5, 0.1)
DEPARTURES_OVER_POSTGRES = Bar("departures over PostgreSQL by asyncpg, both processes", "×", 1.0, 0.5)
PLANE_HISTORY_OVER_POSTGRES = Bar("plane_history over the same", "×", 1.0, 0.5)
ROUTE_DELAYS_OVER_POSTGRES = Bar("route_delays over the same", "×", 2.5, 1.0)
SQL_SWAP = Bar("a SQL service: settings → plan → compiled → bound → flipped, CPU", "ms", 20, 5)

CHURN_FAILED = Bar("restarts, scaling, upgrades under 70 % load: failed requests", "count", 0, 0)
CHURN_STEP = Bar("the same: largest p99.9 step over quiet", "ms", 5, 2)
NEIGHBOUR_OWN = Bar("a saturated medium compartment: p99 of the high one on a core of its own", "×", 1.05, 1.02)
NEIGHBOUR_SHARED = Bar("the same on a core that both share", "×", 1.2, 1.1)
IDLE_BYTES = Bar("an idle connection, private memory of the worker", "KiB", 8, 4)
IDLE_STEP = Bar("p99 of others beside 10,000 of them, over without", "×", 1.1, 1.02)
SUPERVISOR_FAILED = Bar("supervisor killed again and again: failed requests", "count", 0, 0)
SUPERVISOR_ADOPTED = Bar("the same: longest until the next has adopted all", "s", 2, 0.5)
GATE_FAILED = Bar("gate killed again and again: failed requests on established connections", "count", 0, 0)
GATE_BACK = Bar("the same: longest until a new connection is served", "s", 1, 0.3)
HAND_OFF = Bar("hand-off of a connection, both sides, CPU", "µs", 150, 100)
FORWARD = Bar("forwarding a request instead, all sides, CPU", "µs", None, 40)
FORWARD_OVER_HAND_OFF = Bar("the one over the other", "×", 0.75, 0.5)
MIXED_HIGH_WAIT = Bar("high-priority requests of mixed connections, low saturated, p99", "ms", 20, 5)


def judge(bar: Bar, figure: float | None) -> Verdict:
    if figure is None:
        return Verdict(bar, None, passed=False, aimed=False)
    passed = bar.bar is None or bar.reaches(figure, bar.bar)
    return Verdict(bar, figure, passed=passed, aimed=bar.reaches(figure, bar.aim))
