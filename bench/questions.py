"""What SQL services are asked: those of havok.toml, and a look-up, each with calls in a shuffled order.

Rule: everyone is asked the same: the SQL is Havok's, only the spelling of its parameters is
each database's own. A fixed seed shuffles the calls, so that no peer profits from neighbours.
"""

import random
import re
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlencode

import duckdb
import msgspec

from bench.process import REPOSITORY
from bench.workload import FLIGHT_FIELDS, FLIGHT_KEY, FLIGHTS, FLIGHTS_SAMPLED, SEED, Request
from havok.config import load_settings
from havok.settings import DatasetSettings, ServiceSettings

POINT, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS = "flight_sql", "departures", "plane_history", "route_delays"
DATASETS = ("airports", "flights")
POINT_SQL = f"SELECT {', '.join(FLIGHT_FIELDS)} FROM flights WHERE {' AND '.join(f'{c} = :{c}' for c in FLIGHT_KEY)}"
PLANE_FLIGHTS = (80, 120)  # in the year, of the planes that are asked for
CLOSE = 1e-12  # relative: an average may be rounded another way in its last place

_KEY = ", ".join(FLIGHT_KEY)
_CALLS = {  # a row is a call; what it does not name has its default
    POINT: f"SELECT {_KEY} FROM flights ORDER BY hash({_KEY}) LIMIT {FLIGHTS_SAMPLED}",
    DEPARTURES: "SELECT DISTINCT origin, year, month, day, 20 AS limit FROM flights ORDER BY ALL",
    PLANE_HISTORY: "SELECT tailnum, 100 AS limit FROM flights WHERE tailnum IS NOT NULL GROUP BY tailnum "
    f"HAVING count(*) BETWEEN {PLANE_FLIGHTS[0]} AND {PLANE_FLIGHTS[1]} ORDER BY tailnum",
    ROUTE_DELAYS: "SELECT DISTINCT origin, year, month FROM flights ORDER BY ALL",
}
_ORDER = {
    POINT: (),
    DEPARTURES: ("sched_dep_time",),
    PLANE_HISTORY: ("year", "month", "day"),
    ROUTE_DELAYS: ("carrier",),
}


class Question(msgspec.Struct, frozen=True):
    """A service and its calls, all with the same parameters. `order`: the columns its rows are sorted by."""

    service: str
    settings: ServiceSettings
    order: tuple[str, ...]
    calls: tuple[dict[str, Any], ...]

    @property
    def params(self) -> tuple[str, ...]:
        return tuple(self.calls[0])

    def sql(self, *, numbered: bool) -> str:
        """Parameters as $1 or as $name."""
        params = self.params

        def spelt(found: re.Match[str]) -> str:
            return f"${params.index(found[1]) + 1}" if numbered else f"${found[1]}"

        return re.sub(r":(\w+)", spelt, self.settings.sql or "")

    def target(self, number: int, service: str = "") -> str:
        return f"/v1/{service or self.service}?{urlencode(self.calls[number])}"

    def requests(self, service: str = "") -> tuple[Request, ...]:
        """`service`: another one with the same parameters."""
        return tuple(Request(self.target(number, service)) for number in range(len(self.calls)))


@cache
def datasets() -> dict[str, DatasetSettings]:
    """As havok.toml has them: source, key, indexes."""
    found = load_settings(REPOSITORY / "havok.toml").datasets
    return {name: found[name] for name in DATASETS}


@cache
def questions() -> dict[str, Question]:
    """By the name of the service."""
    services = load_settings(REPOSITORY / "havok.toml").services
    point = ServiceSettings(kind="sql", sql=POINT_SQL, compartment="bench")
    rng = random.Random(SEED)
    found = {}
    with duckdb.connect() as db:
        db.execute(f"CREATE VIEW flights AS FROM read_parquet('{FLIGHTS}')")
        for service, sql in _CALLS.items():
            answer = db.execute(sql)
            names = [column[0] for column in answer.description or ()]
            calls = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
            rng.shuffle(calls)
            found[service] = Question(service, services.get(service, point), _ORDER[service], tuple(calls))
    return found


def same_answer(question: Question, mine: bytes, other: bytes) -> bool:
    """Whether two bodies have the same rows in `data`.

    Rows that sort alike may come in any order, and where LIMIT ends an answer among them, others
    of their like may be there: SQL leaves both open.
    """
    ours, theirs = (msgspec.json.decode(body)["data"] for body in (mine, other))
    if len(ours) != len(theirs) or [_place(question, row) for row in ours] != [_place(question, row) for row in theirs]:
        return False
    is_cut = bool(ours) and len(ours) == question.calls[0].get("limit")
    last = _place(question, ours[-1]) if is_cut else None
    kept = [sorted(map(_comparable, (r for r in rows if _place(question, r) != last))) for rows in (ours, theirs)]
    return all(_alike(a, b) for a, b in zip(*kept, strict=True))


def _place(question: Question, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in question.order)


def _comparable(row: dict[str, Any]) -> list[tuple[str, bool, Any]]:
    """In an order: by name, NULLs last."""
    return sorted((name, value is None, 0 if value is None else value) for name, value in row.items())


def _alike(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    for (name, null, value), (other_name, other_null, other) in zip(ours, theirs, strict=True):
        if (name, null) != (other_name, other_null):
            return False
        if value != other and not (isinstance(value, float) and abs(value - other) <= CLOSE * abs(other)):
            return False
    return True
