"""What a new user does, from the first start to pulling the plug, with real processes throughout."""

import os
import re
import shlex
import signal
import socket
import time
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.console.person import Person, get, things, until
from tests.e2e.callers import Callers
from tests.e2e.example import take_the_example


def test_the_shipped_example_serves_what_it_says(person: Person) -> None:
    take_the_example(person)
    served = person.serve(ready=False)
    until(lambda: served.words().count("curl '") == 7, "a line to try for each service")
    assert re.search(r"ready in \d+\.\d s, serving on http://127\.0\.0\.1:\d+", served.words())
    for line in re.findall(r"curl '.*'", served.words()):
        url = urlsplit(shlex.split(line)[1])
        answer = get(person.port, f"{url.path}?{url.query}")
        assert answer.status == 200, line
        assert answer.json["data"]
    assert person.does("check").out == "7 services, 3 datasets: all good\n"
    assert served.stop() == 0
    assert "Traceback" not in served.words()


def _answers_from(callers: Callers, version: str) -> bool:
    return callers.count(version) > 20


def test_load_and_rollback_while_requests_run(person: Person) -> None:
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    made: dict[str, int] = {}
    with Callers(person.port) as callers:
        for number in range(2, 7):
            person.things(number)
            done = person.does("load", "things", "--json").json
            assert done["workers"] == 1
            made[done["version"]] = number
            live = f"things@{done['version']}"
            until(partial(_answers_from, callers, live), "answers from the new version")
        back = person.does("rollback", "things", "--json").json
        assert back["previous"] == list(made)[-1]
        assert back["version"] == list(made)[-2]
        before = callers.count(f"things@{back['version']}")
        until(lambda: callers.count(f"things@{back['version']}") > before + 20, "answers from the version before")
    assert callers.wrong == []
    assert {version: {made.get(version.partition("@")[2], 1)} for version in callers.numbers()} == callers.numbers()
    assert person.thing().json["data"]["v"] == 5
    assert served.worker("one")["versions"] == {"things": back["version"]}


BAD = {
    "duplicate key": ([*things(2), (3, "again", 2)], "unique key"),
    "string in a number column": ([*things(2)[:-1], (19, "x", "many")], "'many' is not a BIGINT"),
    "half its rows gone": (things(2, rows=10), "max_row_change"),
}


def test_bad_data_never_reaches_a_caller(person: Person) -> None:
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    with Callers(person.port, 1) as callers:
        for rows, reason in BAD.values():
            person.csv("bad.csv", "id,name,v", rows)
            assert reason in person.refused("load", "things", "bad.csv")
        person.csv("bad.csv", "country,code,title", [("de", "ber", "Berlin")])
        assert "service place" in person.refused("load", "places", "bad.csv")
    assert callers.wrong == []
    assert len(callers.numbers()) == 1
    assert len(served.status()["datasets"]["things"]["versions"]) == 1


def test_a_typo_keeps_the_old_configuration_and_is_told_everywhere(person: Person) -> None:
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    sound = person.config.read_text()
    person.amend('fields = ["name"]', 'feilds = ["name"]')
    assert "did you mean fields?" in person.refused("check")
    served.send(signal.SIGHUP)
    until(lambda: served.status()["faults"], "status says so")
    assert "services.place.feilds" in served.status()["faults"][0]
    assert "configuration not applied" in person.does("status").out
    assert get(person.port, "/v1/place?country=de&code=ber").json == {"data": {"name": "Berlin"}}
    person.config.write_text(sound.replace('fields = ["name"]', 'fields = ["name", "rank"]'))
    served.send(signal.SIGHUP)
    until(
        lambda: get(person.port, "/v1/place?country=de&code=ber").json == {"data": {"name": "Berlin", "rank": 1}}, "new"
    )
    assert served.status()["faults"] == []
    person.config.write_text(sound.replace('fields = ["name"]', 'fields = ["nmae"]'))
    served.send(signal.SIGHUP)
    until(lambda: served.status()["services"]["place"]["state"] == "faulty", "status says so")
    assert "did you mean 'name'?" in served.status()["services"]["place"]["reason"]
    assert get(person.port, "/v1/place?country=de&code=ber").json == {"data": {"name": "Berlin", "rank": 1}}


def _status(port: int, target: str) -> int:
    """0 for a connection that the victim had been given and took with it."""
    try:
        return get(port, target).status
    except (OSError, HTTPException):
        return 0


def test_a_killed_worker_hurts_no_other_compartment_and_ctrl_c_no_request(person: Person) -> None:
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    victim = served.worker("two")["pid"]
    with Callers(person.port) as callers:
        os.kill(victim, signal.SIGKILL)
        until(lambda: _status(person.port, "/v1/place?country=de&code=ber") == 200, "its successor serves")
    assert callers.wrong == []
    assert served.worker("two")["pid"] != victim
    assert f"(pid {victim}) was killed by" in served.words()
    with socket.create_connection(("127.0.0.1", person.port), 10) as caller:
        caller.sendall(
            b"POST /v1/thing HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
        )
        until(lambda: served.worker("one")["connections"] == 1, "the request has begun")
        served.send(signal.SIGINT)
        until(lambda: "draining" in served.words(), "it drains")
        caller.sendall(b'{"id":7}')
        answer = b""
        while part := caller.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'"v":1}}')
    assert served.ended() == 0
    assert served.words().endswith("drained; goodbye\n")


def test_a_second_ctrl_c_ends_at_once(person: Person) -> None:
    person.amend("drain_s = 3.0", "drain_s = 60.0")
    served = person.serve()
    with socket.create_connection(("127.0.0.1", person.port), 10) as caller:
        caller.sendall(
            b"POST /v1/thing HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
        )
        until(lambda: served.worker("one")["connections"] == 1, "the request has begun")
        served.send(signal.SIGINT)
        until(lambda: "draining" in served.words(), "it drains")
        started = time.monotonic()
        served.send(signal.SIGINT)
        served.ended(seconds=4)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("key", ["listen", "admin"])
def test_a_taken_port_is_a_sentence(person: Person, key: str) -> None:
    port = person.port if key == "listen" else person.admin_port
    with socket.create_server(("127.0.0.1", port)):
        reason = person.refused("serve")
    assert reason == (
        f"error: cannot listen on 127.0.0.1:{port} (node.{key}): Address already in use; "
        "stop what holds the port or set another one in havok.toml\n"
    )


def test_a_data_directory_in_use_names_who_has_it(person: Person) -> None:
    served = person.serve()
    assert f"is in use by another node (pid {served.pid})" in person.refused("serve")
    assert served.is_healthy()


def test_a_missing_source_keeps_the_others_serving(person: Person) -> None:
    (person.directory / "places.csv").unlink()
    served = person.serve(ready=False)
    until(served.is_healthy, "healthy")
    until(lambda: person.thing().status == 200, "the table that is there")
    until(lambda: "dataset places could not be loaded" in served.words(), "what is not is named")
    answer = get(person.port, "/v1/place?country=de&code=ber")
    assert (answer.status, answer.json["code"]) == (503, "no_version")
    person.csv("places.csv", "country,code,name", [("de", "ber", "Berlin")])
    person.does("load", "places")
    assert get(person.port, "/v1/place?country=de&code=ber").status == 200


def _damage(person: Person, version: str, *, how: str) -> None:
    path = person.data_dir / "datasets" / "things" / version
    rows = path / "rows.mdb"
    if how == "bit":
        content = bytearray(rows.read_bytes())
        content[len(content) // 2] ^= 4
        rows.write_bytes(content)
    elif how == "short":
        os.truncate(rows, 4096)
    else:
        (path / "manifest.json").unlink()


@pytest.mark.parametrize("how", ["bit", "short", "manifest"])
def test_a_damaged_version_gives_way_to_the_newest_good_one(person: Person, how: str) -> None:
    good = person.loaded()
    person.things(2)
    bad = person.loaded()
    _damage(person, bad, how=how)
    served = person.serve(ready=False)
    until(served.is_healthy, "healthy")
    until(lambda: person.thing().status == 200, "something serves")
    assert person.thing().headers["havok-version"] == f"things@{good}"
    fault = served.status()["datasets"]["things"]["fault"]
    assert f"serving {good} instead" in fault
    assert fault in person.does("status").out
    person.does("load", "things")
    assert person.thing().json["data"]["v"] == 2
    assert "fault" not in served.status()["datasets"]["things"]


def test_added_services_outlive_a_restart(person: Person, tmp_path: Path) -> None:
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    document = '[services.extra]\nkind = "kv"\ndataset = "things"\ncompartment = "two"\nfields = ["v"]\n'
    (tmp_path / "extra.toml").write_text(document)
    person.does("services", "add", "extra.toml")
    assert served.stop() == 0
    person.serve()
    assert get(person.port, "/v1/extra?id=1").json == {"data": {"v": 1}}
    assert "extra" in person.does("services").out


def test_commands_say_so_when_only_the_supervisor_is_gone(person: Person) -> None:
    """Workers serve on; who loads then must hear that nobody takes the version over yet."""
    served = person.serve()
    until(lambda: person.thing().status == 200, "the first load")
    before = person.thing(7).body
    served.send(signal.SIGKILL)
    served.ended()
    assert person.thing(7).body == before
    assert "the node's supervisor is gone" in person.refused("status")
    person.things(2)
    assert "the node's supervisor is gone" in person.does("load", "things").out
    assert person.thing(7).body == before
    person.serve()
    until(lambda: person.thing(7).body != before, "a new supervisor takes over, with the new version")
