"""The exposition, from a status document made by hand."""

from console.metrics import exposition

STATUS = {
    "node": 'a "quoted"\\name',
    "zone": "z",
    "compartments": {
        "one": {
            "load": 0.25,
            "watermarks": {"low": 0.35, "high": 0.75},
            "wanted": 3,
            "pressure": "one is at 90 %.",
            "moves": {"add_worker": 2, "move_connections": 5},
            "connections_max": 1000,
            "connections_refused": 7,
            "isolation": "cgroup v2",
            "workers": [
                {
                    "name": "one-1",
                    "state": "ready",
                    "requests": 12345678901,
                    "connections": 3,
                    "errors": {"not_found": 2},
                    "shed": {"s": 5},
                    "handed_over": 4,
                    "forwarded": 6,
                    "busy": 0.25,
                    "delay_us": 1500.0,
                    "rss_mb": 34.5,
                    "faults_major": 7,
                    "costs": {"s": 0.125, "t": 0.0625},
                    "executors": [
                        {"pid": 7, "state": "busy", "service": "s", "seconds": 1.5},
                        {"pid": 8, "state": "busy", "service": "t", "seconds": 0.5},
                        {"pid": 0, "state": "resting", "service": "", "seconds": 0.0},
                    ],
                    "queries": {"waiting": 4, "answered": 20, "crashes": 1},
                },
                {
                    "name": "one-2",
                    "state": "ready",
                    "requests": 0,
                    "connections": 0,
                    "errors": {},
                    "shed": {},
                    "handed_over": 0,
                    "forwarded": 0,
                    "busy": 0.0,
                    "delay_us": 0.0,
                    "rss_mb": 0.0,
                    "faults_major": 0,
                    "costs": {},
                    "executors": [],
                    "queries": {},
                },
            ],
        }
    },
    "datasets": {"d": {"live": "v1", "versions": ["v1", "v0"]}, "new": {"live": None, "versions": []}},
    "services": {"s": {"state": "live", "compartment": "one"}, "t": {"state": "faulty", "compartment": "one"}},
    "faults": ["x"],
}


def test_every_family_has_help_and_type_and_whole_counts() -> None:
    lines = exposition(STATUS).splitlines()
    for expected in (
        'havok_info{node="a \\"quoted\\"\\\\name",zone="z"} 1',
        'havok_requests_total{compartment="one",worker="one-1"} 12345678901',
        'havok_errors_total{compartment="one",worker="one-1",code="not_found"} 2',
        'havok_requests_shed_total{compartment="one",worker="one-1",service="s"} 5',
        'havok_connections_handed_over_total{compartment="one",worker="one-1"} 4',
        'havok_requests_forwarded_total{compartment="one",worker="one-1"} 6',
        'havok_executors{compartment="one",worker="one-1",state="busy"} 2',
        'havok_executors{compartment="one",worker="one-1",state="resting"} 1',
        'havok_queries_waiting{compartment="one",worker="one-1"} 4',
        'havok_queries_total{compartment="one",worker="one-1",end="answered"} 20',
        'havok_queries_total{compartment="one",worker="one-1",end="crashes"} 1',
        'havok_worker_busy_ratio{compartment="one",worker="one-1"} 0.25',
        'havok_worker_delay_seconds{compartment="one",worker="one-1"} 0.0015',
        'havok_worker_resident_memory_bytes{compartment="one",worker="one-1"} 36175872',
        'havok_worker_major_page_faults_total{compartment="one",worker="one-1"} 7',
        'havok_service_busy_ratio{compartment="one",worker="one-1",service="s"} 0.125',
        'havok_load{compartment="one"} 0.25',
        'havok_watermark{compartment="one",mark="high"} 0.75',
        'havok_workers{compartment="one",state="ready"} 2',
        'havok_workers_wanted{compartment="one"} 3',
        'havok_pressure{compartment="one"} 1',
        'havok_moves_total{compartment="one",move="move_connections"} 5',
        'havok_connections_max{compartment="one"} 1000',
        'havok_connections_refused_total{compartment="one"} 7',
        'havok_isolation_info{compartment="one",mechanism="cgroup v2"} 1',
        'havok_dataset_version_info{dataset="d",version="v1"} 1',
        'havok_dataset_versions{dataset="new"} 0',
        'havok_service_up{service="s",compartment="one"} 1',
        'havok_service_up{service="t",compartment="one"} 0',
        "havok_configuration_faults 1",
    ):
        assert expected in lines
    named = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    for name in named:
        assert sum(line.startswith((f"# HELP {name} ", f"# TYPE {name} ")) for line in lines) == 2
