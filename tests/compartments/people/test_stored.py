"""Services added at run time, on disk."""

import stat
from pathlib import Path

import pytest

from compartments.people.database import ControlDatabase
from compartments.people.stored import StoredServices, parse
from havok.errors import NodeError

A = '[services.a]\nkind = "kv"\ndataset = "things"\ncompartment = "one"\n'
B = A.replace("services.a", "services.b")


def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    StoredServices(ControlDatabase(tmp_path)).add(A + B)
    stored = StoredServices(ControlDatabase(tmp_path))
    assert list(stored.read()) == ["a", "b"]
    assert stored.read()["a"] == {"kind": "kv", "dataset": "things", "compartment": "one"}
    assert stored.remove("a")
    assert not stored.remove("a")
    assert list(StoredServices(ControlDatabase(tmp_path)).read()) == ["b"]


def test_the_last_one_of_a_name_stands(tmp_path: Path) -> None:
    stored = StoredServices(ControlDatabase(tmp_path))
    stored.add(A + B)
    stored.add(A.replace('"one"', '"two"'))
    assert stored.read()["a"]["compartment"] == "two"
    assert stored.read()["b"]["compartment"] == "one"


def test_it_is_its_users_alone(tmp_path: Path) -> None:
    StoredServices(ControlDatabase(tmp_path)).add(A)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {"control.db": 0o600}


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ("kind = ", "not TOML"),
        ("", "may only hold"),
        ("[services]\n", "may only hold"),
        ('services = "a"\n', "may only hold"),
        (A + "[node]\nname = 'x'\n", "may only hold"),
    ],
)
def test_other_documents_are_refused(document: str, part: str) -> None:
    with pytest.raises(NodeError, match=part):
        parse(document)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "control.db"
    file.write_text("garbage-garbage\n")
    with pytest.raises(NodeError, match=r"file is not a database.*move it away") as refused:
        StoredServices(ControlDatabase(tmp_path))
    assert str(file) in refused.value.detail


def test_a_database_spoiled_meanwhile_is_refused_in_every_use(tmp_path: Path) -> None:
    stored = StoredServices(ControlDatabase(tmp_path))
    stored.add(A)
    (tmp_path / "control.db").write_bytes(b"garbage-garbage\n" * 1000)
    for use in (stored.read, lambda: stored.add(B), lambda: stored.remove("a")):
        with pytest.raises(NodeError, match=r"control\.db"):
            use()


def test_a_file_that_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "control.db").mkdir()
    with pytest.raises(NodeError, match=r"control\.db: Is a directory"):
        StoredServices(ControlDatabase(tmp_path))
