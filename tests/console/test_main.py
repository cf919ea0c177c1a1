"""Arguments, where the configuration is found, exit codes, and how fast commands start."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.person import Person, until

COMMANDS = ["serve", "check", "load", "versions", "rollback", "diff", "verify", "plan", "call", "status", "services",
            "datasets", "init"]  # fmt: skip


def test_help_names_every_command(person: Person) -> None:
    shown = person.does("--help").out
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", shown)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(person: Person, command: str) -> None:
    assert "Usage" in person.does(command, "--help").out


def test_version_is_the_packages(person: Person) -> None:
    assert re.fullmatch(r"havok \d+\.\d+\S*\n", person.does("--version").out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["load"],
        ["load", "things", "--mode", "half"],
        ["plan"],
        ["diff", "things", "a"],
        ["status", "--nope"],
        ["services", "nope"],
    ],
)
def test_wrong_usage_is_two(person: Person, arguments: list[str]) -> None:
    done = person.havok(*arguments)
    assert done.code == 2
    assert done.out == ""


def test_the_configuration_is_found(person: Person, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "havok.toml: there is no such file" in person.havok("datasets", cwd=elsewhere).err
    assert person.havok("datasets", "--json", cwd=elsewhere, env={"HAVOK_CONFIG": str(person.config)}).code == 0
    assert person.havok("-c", person.config, "datasets", cwd=elsewhere).code == 0
    assert person.havok("datasets", "-c", person.config, cwd=elsewhere, env={"HAVOK_CONFIG": "/nowhere"}).code == 0
    assert person.havok("-c", "/nowhere", "datasets", "--config", person.config, cwd=elsewhere).code == 0
    assert person.havok("check", person.config, cwd=elsewhere).code == 0


def test_an_unknown_name_names_the_nearest(person: Person) -> None:
    assert person.refused("load", "thing") == "error: havok.toml has no dataset 'thing'; did you mean things?\n"
    assert "there are: place, thing" in person.refused("plan", "unheard")


def test_a_fault_elsewhere_does_not_stop_a_load(person: Person) -> None:
    person.amend('dataset = "places"', 'datset = "places"')
    assert person.does("load", "things", "--json").json["rows"] == 20
    assert "did you mean dataset?" in person.refused("plan", "place")


def test_a_directory_that_cannot_be_written_is_a_sentence(person: Person) -> None:
    person.amend("[node]", '[node]\ndata_dir = "/proc/havok"')
    reason = person.refused("load", "things")
    assert "/proc/havok" in reason
    assert len(reason.splitlines()) == 1


def test_ctrl_c_is_quiet_and_leaves_nothing(person: Person) -> None:
    source = "SELECT i AS id, 'x' AS name, hash(i) AS v FROM range(15000000) t(i)"
    load = subprocess.Popen(
        person.argv("load", "things", source), cwd=person.directory, env=person.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    home = person.data_dir / "datasets" / "things"
    try:
        until(lambda: list(home.glob(".build-*/rows.parquet*")), "the load is under way")
        load.send_signal(signal.SIGINT)
        out, err = load.communicate(timeout=20)
    finally:
        load.kill()
        load.wait()
    assert load.returncode == 130
    assert out == err == ""
    assert list(home.glob(".build-*")) == []


def test_a_closed_pipe_is_no_error(person: Person) -> None:
    shell = f"{sys.executable} -P -m console.main datasets | true"
    done = subprocess.run(
        shell, shell=True, cwd=person.directory, env=person.environment(), capture_output=True, check=False
    )
    assert done.stderr == b""


def test_serving_needs_no_duckdb_and_no_loader(person: Person) -> None:
    script = (
        "import sys, console.main, console.serve, console.greeting; "
        "print([m for m in ('duckdb', 'pyarrow', 'loader', 'aiohttp', 'rich', 'sqlglot') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=person.environment(), text=True, capture_output=True, check=True
    )
    assert done.stdout == "[]\n"
