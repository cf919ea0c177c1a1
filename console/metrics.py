"""The status document as Prometheus text (exposition format 0.0.4).

Rule: pure, and nothing is measured here: what the supervisor knows is renamed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


def exposition(status: Mapping[str, Any]) -> str:
    """Counters begin anew with each worker, as `rate()` expects of a restarted target."""
    workers = [
        ((("compartment", name), ("worker", worker["name"])), worker)
        for name, compartment in status["compartments"].items()
        for worker in compartment["workers"]
    ]
    families = (
        _family("havok_info", "gauge", "The node.", [((("node", status["node"]), ("zone", status["zone"])), 1)]),
        _family("havok_requests_total", "counter", "Requests answered.", [(at, w["requests"]) for at, w in workers]),
        _family(
            "havok_errors_total",
            "counter",
            "Answers that were errors, by code; a key that is not there (404) counts as answered.",
            [((*at, ("code", code)), count) for at, w in workers for code, count in sorted(w["errors"].items())],
        ),
        _family(
            "havok_requests_shed_total",
            "counter",
            "Requests refused because their service was over its share of an overloaded compartment.",
            [((*at, ("service", name)), count) for at, w in workers for name, count in sorted(w["shed"].items())],
        ),
        _family("havok_connections", "gauge", "Open connections.", [(at, w["connections"]) for at, w in workers]),
        _compartments(status["compartments"]),
        _gauges(workers),
        _executors(workers),
        _datasets(status["datasets"]),
        _family(
            "havok_service_up",
            "gauge",
            "1 when every worker serves it as wanted.",
            [
                ((("service", name), ("compartment", service["compartment"])), service["state"] == "live")
                for name, service in status["services"].items()
            ],
        ),
        _family(
            "havok_configuration_faults", "gauge", "Faults of a refused configuration.", [((), len(status["faults"]))]
        ),
    )
    return "".join(families)


def _compartments(compartments: Mapping[str, Any]) -> str:
    load: list[Sample] = []
    marks: list[Sample] = []
    workers: list[Sample] = []
    wanted: list[Sample] = []
    pressure: list[Sample] = []
    moves: list[Sample] = []
    refused: list[Sample] = []
    limits: list[Sample] = []
    isolation: list[Sample] = []
    for name, found in compartments.items():
        label = ("compartment", name)
        refused.append(((label,), found["connections_refused"]))
        limits += [((label,), found["connections_max"])] if found["connections_max"] is not None else []
        isolation.append(((label, ("mechanism", found["isolation"])), 1))
        load.append(((label,), found["load"]))
        marks += [((label, ("mark", mark)), value) for mark, value in found["watermarks"].items()]
        states = Counter(worker["state"] for worker in found["workers"])
        workers += [((label, ("state", state)), count) for state, count in sorted(states.items())]
        wanted.append(((label,), found["wanted"]))
        pressure.append(((label,), found["pressure"] is not None))
        moves += [((label, ("move", move)), count) for move, count in sorted(found["moves"].items())]
    return (
        _family("havok_load", "gauge", "Mean busy fraction of the workers.", load)
        + _family("havok_watermark", "gauge", "Load marks of the compartment.", marks)
        + _family("havok_workers", "gauge", "Worker processes by state.", workers)
        + _family("havok_workers_wanted", "gauge", "Worker processes that the compartment is to have.", wanted)
        + _family("havok_pressure", "gauge", "1 while no more workers are to be had and load is high.", pressure)
        + _family("havok_moves_total", "counter", "What was done about load, by kind.", moves)
        + _family("havok_connections_max", "gauge", "The most connections of the compartment.", limits)
        + _family("havok_connections_refused_total", "counter", "Connections over that, answered by the gate.", refused)
        + _family("havok_isolation_info", "gauge", "What limits the compartment's processes.", isolation)
    )


def _gauges(workers: Sequence[tuple[Labels, Mapping[str, Any]]]) -> str:
    costs: list[Sample] = [
        ((*at, ("service", service)), share) for at, worker in workers for service, share in worker["costs"].items()
    ]
    return (
        _family("havok_connections_handed_over_total", "counter", "Connections that went on to another process.",
                [(at, worker["handed_over"]) for at, worker in workers])
        + _family("havok_requests_forwarded_total", "counter",
                  "Requests for services of other compartments, whose connections stayed.",
                  [(at, worker["forwarded"]) for at, worker in workers])
        + _family("havok_worker_busy_ratio", "gauge", "CPU seconds of the worker's loop per second.",
                [(at, worker["busy"]) for at, worker in workers])
        + _family("havok_worker_delay_seconds", "gauge", "How long something that is ready waits for its turn.",
                  [(at, worker["delay_us"] / 1e6) for at, worker in workers])
        + _family("havok_worker_resident_memory_bytes", "gauge", "Resident memory of the worker.",
                  [(at, round(worker["rss_mb"] * 2**20)) for at, worker in workers])
        + _family("havok_worker_major_page_faults_total", "counter", "Pages that were read from disk.",
                  [(at, worker["faults_major"]) for at, worker in workers])
        + _family("havok_service_busy_ratio", "gauge",
                  "Share of the worker's loop that a service takes; the most costly ones.", costs)
    )  # fmt: skip


def _executors(workers: Sequence[tuple[Labels, Mapping[str, Any]]]) -> str:
    states: list[Sample] = []
    waiting: list[Sample] = []
    ended: list[Sample] = []
    for at, worker in workers:
        found = Counter(executor["state"] for executor in worker["executors"])
        states += [((*at, ("state", state)), count) for state, count in sorted(found.items())]
        waiting += [(at, count) for end, count in worker["queries"].items() if end == "waiting"]
        ended += [((*at, ("end", end)), count) for end, count in worker["queries"].items() if end != "waiting"]
    return (
        _family("havok_executors", "gauge", "Places for executor processes by state.", states)
        + _family("havok_queries_waiting", "gauge", "Analytical queries that wait for an executor.", waiting)
        + _family("havok_queries_total", "counter", "Analytical queries that ended, by how.", ended)
    )


def _datasets(datasets: Mapping[str, Any]) -> str:
    live: list[Sample] = [
        ((("dataset", name), ("version", found["live"])), 1) for name, found in datasets.items() if found["live"]
    ]
    kept: list[Sample] = [((("dataset", name),), len(found["versions"])) for name, found in datasets.items()]
    return _family("havok_dataset_version_info", "gauge", "The live version.", live) + _family(
        "havok_dataset_versions", "gauge", "Versions on disk.", kept
    )


def _family(name: str, kind: str, text: str, samples: Sequence[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels)
        lines.append(f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """Whole counts keep all their digits."""
    return str(int(value)) if value == int(value) else repr(value)
