"""Workers over their limits are replaced, and nobody notices."""

import pytest

from compartments.processes.recycling import due
from havok.messages import Report
from havok.settings import CompartmentSettings
from tests.compartments.client import Load
from tests.compartments.deadline import until
from tests.compartments.node import Node


@pytest.mark.parametrize(
    ("settings", "rss_mb", "requests", "says"),
    [
        ({}, 10**6, 10**9, None),
        ({"max_rss_mb": 100}, 100.0, 10**9, None),
        ({"max_rss_mb": 100}, 100.4, 0, "it has 100 MB, over max_rss_mb = 100"),
        ({"max_requests": 5000}, 10**6, 5000, None),
        ({"max_requests": 5000}, 0, 5001, "it served 5001 requests, over max_requests = 5000"),
    ],
)
def test_who_is_due(settings: dict[str, int], rss_mb: float, requests: int, says: str | None) -> None:
    report = Report("one-1", 7, 1, 1, rss_mb=rss_mb, requests=requests)
    assert due(CompartmentSettings("x", **settings), report) == says  # type: ignore[arg-type]


def test_a_worker_that_served_enough_is_replaced_under_load(node: Node) -> None:
    """FAULTS 32, by requests."""
    node.compartments["one"]["max_requests"] = 1000
    node.load(1)
    node.start()
    (first,) = node.worker_pids("one")
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=2) as load:
        until(lambda: first not in node.worker_pids("one"), 20)
        seen = load.asked
        until(lambda: load.asked > seen + 200)
    assert load.failures == []
    assert load.reconnects == 0
