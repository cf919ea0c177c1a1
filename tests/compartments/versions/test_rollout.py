"""New versions on a running node: staged, flipped to, gone back to, found damaged."""

import fcntl
import os
import signal
import threading
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from havok import messages
from havok.errors import NodeError
from havok.layout import version_dir
from havok.manifest import MANIFEST_FILE
from tests import snapshots
from tests.compartments.client import Answer, Load, request, whole
from tests.compartments.deadline import until
from tests.compartments.node import Node, files, maps, open_files, send_signal, service


def held(node: Node, version: str) -> bool:
    """Whether some process holds the version open, as retention asks."""
    with open(version_dir(node.data_dir, "things", version) / MANIFEST_FILE) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def no_more_than(pid: int, fds: int, rows: int) -> bool:
    return files(pid) <= fds and len(maps(pid, "rows.mdb")) <= rows


def answered_version(node: Node, name: str = "a") -> str:
    with node.client() as client:
        answer = client.get(name)
    assert whole(name, "k1", answer), answer
    return answer.version.removeprefix("things@")


def test_a_version_is_swapped_in_on_every_worker(node: Node) -> None:
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.load(1)
    node.start()
    two = node.load(2, point=False)
    answer = node.swap(two)
    assert answer["workers"] == 3
    for _ in range(6):
        assert answered_version(node, "a") == answered_version(node, "b") == two
    assert node.status()["datasets"]["things"]["live"] == two


def test_swapping_back_and_forth_is_quick_and_leaks_nothing(node: Node) -> None:
    """FAULTS 7 and 8, small: under load, nothing fails, nothing is mixed, a rollback takes ≤ 100 ms."""
    versions = [node.load(n) for n in (1, 2)]
    node.compartments["one"]["workers"] = {"min": 2, "max": 2}
    node.services["c"] = service("one", fields=["v", "id"])
    node.start()
    pids = node.worker_pids()
    times = []
    with Load(("127.0.0.1", node.port), ["a", "b", "c"], threads=4, gap_s=0.002) as load:
        until(lambda: load.asked > 100)
        node.swap(versions[0])
        before = [(files(pid), len(maps(pid, "rows.mdb"))) for pid in pids]
        for n in range(1, 101):
            snapshots.point(node.data_dir, "things", versions[n % 2])
            times.append(node.request(messages.ActivateRequest("things"))["ms"])
        node.swap(versions[0])
        seen = load.asked
        until(lambda: load.asked > seen + 100)
    times.sort()
    print(f"{load.summary()}")
    print(f"rollback on 3 workers: p50 {times[50]:.1f} ms, p99 {times[98]:.1f} ms, max {times[99]:.1f} ms (bar 100)")
    assert load.failures == []
    assert times[50] <= 100
    assert node.worker_pids() == pids
    for pid, (fds, rows) in zip(pids, before, strict=True):
        until(partial(no_more_than, pid, fds, rows), what="as many descriptors and maps as before")


def test_ever_new_versions_under_load(node: Node) -> None:
    node.load(1)
    node.start()
    made = []
    with Load(("127.0.0.1", node.port), ["a", "b"], threads=3) as load:
        for n in range(2, 42):
            made.append(node.load(n, point=False))
            node.swap(made[-1])
        seen = load.asked
        until(lambda: load.asked > seen + 50)
    print(load.summary())
    assert load.failures == []
    until(
        lambda: [v for v in made if held(node, v)] == made[-2:], what="the live one and its standby are open, no other"
    )
    for pid in node.worker_pids():
        assert len(open_files(pid, "rows.mdb")) == 2
        assert not maps(pid, "(deleted)")


def test_a_version_that_does_not_verify_is_refused_and_forgotten(node: Node) -> None:
    one = node.load(1)
    node.start()
    two = node.load(2, point=False)
    snapshots.damage(node.data_dir, "things", two, b"v2-7")
    with pytest.raises(NodeError, match="differs from its hash"):
        node.request(messages.StageRequest("things", two))
    assert answered_version(node) == one
    until(lambda: not held(node, two))
    status = node.status()
    assert status["datasets"]["things"]["live"] == one
    assert status["services"]["a"]["state"] == "live"
    until(lambda: node.workers("one")[0]["faults"] == {})
    three = node.load(3, point=False)
    node.swap(three)
    assert answered_version(node) == three


def test_a_schema_that_a_plan_does_not_fit_is_refused(node: Node) -> None:
    one = node.load(1)
    node.services["c"] = service("two", fields=["v"])
    node.start()
    two = snapshots.build(node.data_dir, "things", {"k1": {"w": "x"}}, 2)
    manifest = (version_dir(node.data_dir, "things", two) / MANIFEST_FILE).read_bytes()
    with pytest.raises(NodeError, match=r"service c: .*no column 'v'"):
        node.request(messages.AcceptRequest(manifest))
    with pytest.raises(NodeError, match=r"service c: .*no column 'v'"):
        node.request(messages.StageRequest("things", two))
    snapshots.point(node.data_dir, "things", two)  # all the same: the watch finds it
    until(lambda: node.status()["services"]["c"]["state"] == "faulty")
    assert "no column 'v'" in node.status()["services"]["c"]["reason"]
    with node.client() as client:
        assert client.get("c").data == {"v": "v1-1"}, "the old plan on the old version"
        until(lambda: client.get("a").data == {"id": "k1", "w": "x"})
    assert held(node, one)
    snapshots.point(node.data_dir, "things", one)
    until(lambda: {found["state"] for found in node.status()["services"].values()} == {"live"})
    assert answered_version(node) == one


def test_a_version_that_is_not_there_is_refused(node: Node) -> None:
    node.load(1)
    node.start()
    for version in ("20300101T000000Z-00000000", "../../etc"):
        with pytest.raises(NodeError, match="no readable manifest"):
            node.request(messages.StageRequest("things", version))


def test_a_pointer_that_moved_unannounced_is_noticed(node: Node) -> None:
    one = node.load(1)
    node.start()
    two = node.load(2)
    until(lambda: answered_version(node) == two, 5)
    snapshots.point(node.data_dir, "things", one)
    until(lambda: answered_version(node) == one, 5)


def test_a_first_version_brings_its_services_to_life(node: Node) -> None:
    node.start()
    with node.client() as client:
        answer = client.get("a")
        assert answer.status == 503
        assert b"no_version" in answer.body
        assert node.status()["services"]["a"]["state"] == "no_version"
        node.swap(node.load(1, point=False))
        assert client.get("a").status == 200


# -- damage -------------------------------------------------------------------------------


def test_damage_found_at_run_time(node: Node) -> None:
    """FAULTS 10: never a wrong byte; the newest good version takes over and status says why."""
    one, two = node.load(1), node.load(2)
    node.start()
    assert answered_version(node) == two
    wrong: list[Answer] = []
    served: list[str] = []

    def judge(name: str, key: str, answer: Answer) -> bool:
        if answer.status == 200:
            served.append(answer.version)
            if not whole(name, key, answer):
                wrong.append(answer)
        return answer.status in (200, 503)

    with Load(("127.0.0.1", node.port), ["a", "b"], threads=3, good=judge) as load:
        until(lambda: load.asked > 100)
        snapshots.damage(node.data_dir, "things", two, b"v2-7")
        started = monotonic()
        until(lambda: served[-1].endswith(one) if served else False, 10, "the older one is served")
        print(f"the older version served {monotonic() - started:.3f} s after the damage")
        seen = load.asked
        until(lambda: load.asked > seen + 200)
    assert wrong == []
    assert load.failures == []
    status = node.status()
    assert status["datasets"]["things"]["live"] == one
    assert two in status["datasets"]["things"]["fault"]
    assert "checksum" in node.words()
    assert answered_version(node, "a") == answered_version(node, "b") == one
    three = node.load(3, point=False)
    node.swap(three)
    assert answered_version(node) == three
    assert "fault" not in node.status()["datasets"]["things"]


def test_damage_without_another_version(node: Node) -> None:
    """The damaged row is refused, the others are served, and status says so."""
    one = node.load(1)
    node.start()
    snapshots.damage(node.data_dir, "things", one, b"v1-7")
    with node.client() as client:
        answer = client.get("a", "k7")
        assert answer.status == 503
        assert b"store_down" in answer.body
        assert str(node.data_dir).encode() not in answer.body
        until(lambda: "fault" in node.status()["datasets"]["things"])
        seq = node.status()["supervisor"]["seq"]
        for _ in range(3):
            assert client.get("a", "k7").status == client.get("b", "k7").status == 503
            assert whole("a", "k1", client.get("a", "k1"))
            assert whole("b", "k1", client.get("b", "k1"))
    status = node.status()
    assert status["datasets"]["things"]["live"] == one
    assert one in status["datasets"]["things"]["fault"]
    assert "Load again" in status["datasets"]["things"]["fault"]
    assert status["supervisor"]["seq"] == seq, "known damage is no news"
    assert node.words().count("Load again") == 1
    node.swap(node.load(2, point=False))
    with node.client() as client:
        assert client.get("a", "k7").status == 200
    assert "fault" not in node.status()["datasets"]["things"]


def test_the_only_version_damaged_before_it_was_opened(node: Node) -> None:
    """What a worker did not find whole it does not open: 503, and the reason in status."""
    snapshots.damage(node.data_dir, "things", node.load(1), b"v1-7")
    node.start(serving=False)
    until(lambda: Path(node.data_dir / "run" / "control.sock").exists(), 10)
    until(lambda: node.status()["services"]["a"]["state"] == "faulty", 10)
    assert "differs from its hash" in node.status()["services"]["a"]["reason"]
    with node.client() as client:
        assert client.get("a", "k1").status == 503
    node.swap(node.load(2, point=False))
    assert node.status()["services"]["a"]["state"] == "live"


def test_damage_at_the_start(node: Node) -> None:
    one, two, three = node.load(1), node.load(2), node.load(3)
    snapshots.damage(node.data_dir, "things", three, b"v3-7")
    os.truncate(version_dir(node.data_dir, "things", two) / "rows.mdb", 4096)
    node.start(serving=False)
    until(lambda: Path(node.data_dir / "run" / "control.sock").exists(), 10)
    until(lambda: node.status()["datasets"]["things"]["live"] == one, 10)
    until(node.is_serving)
    assert answered_version(node) == one
    assert three in node.status()["datasets"]["things"]["fault"]


# -- people and processes that get in the way -----------------------------------------------


def test_a_worker_killed_while_a_version_is_staged(node: Node) -> None:
    node.load(1)
    node.start()
    two = node.load(2, point=False)
    (pid,) = node.worker_pids("one")
    send_signal(pid, signal.SIGSTOP)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(node.request(messages.StageRequest("things", two), 30)))
    thread.start()
    until(lambda: held(node, two), what="the other worker has it")
    send_signal(pid, signal.SIGKILL)
    thread.join(20)
    assert answers == [{"workers": 2}]
    snapshots.point(node.data_dir, "things", two)
    node.request(messages.ActivateRequest("things"))
    assert answered_version(node) == two


def test_a_stage_that_another_one_replaces_is_given_up_at_once(node: Node) -> None:
    """As when a load is killed and another one begins."""
    node.load(1)
    node.start()
    two, three = node.load(2, point=False), node.load(3, point=False)
    (pid,) = node.worker_pids("one")
    send_signal(pid, signal.SIGSTOP)  # nothing can be staged now
    said: list[str] = []

    def stage_two() -> None:
        try:
            node.request(messages.StageRequest("things", two), 30)
        except NodeError as error:
            said.append(str(error))

    thread = threading.Thread(target=stage_two)
    thread.start()
    until(lambda: held(node, two))
    other = threading.Thread(target=lambda: node.request(messages.StageRequest("things", three), 30))
    other.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "given up" in said[0]
    send_signal(pid, signal.SIGCONT)
    other.join(20)
    assert not other.is_alive()
    snapshots.point(node.data_dir, "things", three)
    node.request(messages.ActivateRequest("things"))
    assert answered_version(node) == three
    until(lambda: not held(node, two))


def test_unstaging_closes_what_was_staged(node: Node) -> None:
    node.load(1)
    node.start()
    two = node.load(2, point=False)
    assert node.request(messages.StageRequest("things", two)) == {"workers": 2}
    assert held(node, two)
    node.request(messages.UnstageRequest("things"))
    until(lambda: not held(node, two))


def test_pipelined_requests_around_a_swap_are_each_of_one_version(node: Node) -> None:
    node.load(1)
    node.start()
    count = 2000
    with node.client() as client:
        sender = threading.Thread(
            target=lambda: client.send(b"".join(request("a", f"k{n % 20}") for n in range(count)))
        )
        sender.start()
        for n in range(2, 6):
            node.swap(node.load(n, point=False))
        for n in range(count):
            assert whole("a", f"k{n % 20}", client.answer())
        sender.join()
