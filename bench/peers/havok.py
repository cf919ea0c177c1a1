"""Havok itself: one node, one worker, driven five ways.

Counted are the worker and the gate; the supervisor serves nothing. All of them run on the
server's core.
"""

from bench.node import Contents, Dataset, Node, Service, node_missing
from bench.peer import Drive, Place, Running
from bench.workload import AIRPORTS, BATCH_KEYS, FLIGHT_FIELDS, FLIGHT_KEY, FLIGHTS
from bench.wrk import wrk_missing

GET = "havok kv GET"
GET_TRACED = "havok kv GET, new traceparent each time"
GET_ROW = "havok kv GET, row of 19 columns"
GET_FIELDS = "havok kv GET, 3 fields of 19"
BATCH = f"havok batch of {BATCH_KEYS} keys"
ROWS = (GET, GET_TRACED, GET_ROW, GET_FIELDS, BATCH)
READY = "/v1/airport?faa=JFK"

CONTENTS = Contents(
    datasets={
        "airports": Dataset(source=str(AIRPORTS), key=("faa",)),
        "flights": Dataset(source=str(FLIGHTS), key=FLIGHT_KEY),
    },
    services={
        "airport": Service("airports"),
        "flight": Service("flights"),
        "flight_brief": Service("flights", fields=FLIGHT_FIELDS),
    },
)


class Havok:
    name = "havok"

    def unavailable(self) -> str | None:
        return wrk_missing() or node_missing()

    def start(self, place: Place) -> Running:
        node = Node(place.directory, place.cores.server, CONTENTS)
        workload = place.workload
        node.start(READY, *(workload.flight_lookups(service)[0].target for service in ("flight", "flight_brief")))
        requests = {
            GET: workload.airport_lookups("/v1/airport?faa={}"),
            GET_TRACED: workload.traced_lookups("/v1/airport?faa={}"),
            GET_ROW: workload.flight_lookups("flight"),
            GET_FIELDS: workload.flight_lookups("flight_brief"),
            BATCH: workload.airport_batches("airport"),
        }
        if not place.many_keys:
            del requests[GET_TRACED]  # one request repeated has one traceparent
        drives = (
            Drive(
                name,
                "wrk",
                place.wrk(node.port, wanted, f"drive-{number}.lua"),
                items=BATCH_KEYS if name == BATCH else 1,
                note="in every row of Havok's, worker and gate are counted and a rate limit is on"
                if name == GET
                else "",
            )
            for number, (name, wanted) in enumerate(requests.items())
        )
        try:
            return Running(pids=node.serving_pids(), drives=tuple(drives), stop=node.stop)
        except BaseException:
            node.stop()
            raise
