"""Havok's SQL services: those of havok.toml and a look-up, beside the kv service that gives the same fields.

Counted are the worker and the gate, as for its kv services.
"""

import msgspec

from bench.node import Contents, Dataset, Node, Service, node_missing
from bench.peer import Drive, Place, Running
from bench.process import get
from bench.questions import DEPARTURES, PLANE_HISTORY, POINT, ROUTE_DELAYS, Question, datasets, questions
from bench.workload import FLIGHT_FIELDS
from bench.wrk import ClientFailed, wrk_missing

KV, KV_SERVICE = "havok kv GET, 3 fields of 19", "flight_brief"
SQL = "havok SQL, the same row and fields"
ASKED = {DEPARTURES: "havok departures", PLANE_HISTORY: "havok plane_history", ROUTE_DELAYS: "havok route_delays"}


def contents() -> Contents:
    asked = questions()
    return Contents(
        datasets={
            name: Dataset(source=found.source or "", key=found.key, indexes=found.indexes)
            for name, found in datasets().items()
        },
        services={
            KV_SERVICE: Service("flights", fields=FLIGHT_FIELDS),
            **{name: _service(question) for name, question in asked.items()},
        },
    )


def _service(question: Question) -> Service:
    params = msgspec.to_builtins(question.settings.params)
    return Service(sql=question.settings.sql or "", params=params)


class HavokSql:
    name = "havok"

    def unavailable(self) -> str | None:
        return wrk_missing() or node_missing()

    def start(self, place: Place) -> Running:
        node = Node(place.directory, place.cores.server, contents())
        asked = questions()
        point = asked[POINT]
        node.start(point.target(0, KV_SERVICE), *(question.target(0) for question in asked.values()))
        requests = {
            KV: point.requests(KV_SERVICE),
            SQL: point.requests(),
            **{row: asked[service].requests() for service, row in ASKED.items()},
        }

        def answer(service: str, number: int) -> bytes:
            found = get(node.port, asked[service].target(number))
            if found is None or found[0] != 200:
                raise ClientFailed(f"no answer to {asked[service].target(number)}")
            return found[2]

        try:
            drives = tuple(
                Drive(name, "wrk", place.wrk(node.port, wanted, f"drive-{number}.lua"))
                for number, (name, wanted) in enumerate(requests.items())
            )
            return Running(node.serving_pids(), drives, node.stop, answer)
        except BaseException:
            node.stop()
            raise
