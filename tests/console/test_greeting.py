"""What a node says of its services when it serves: a line to try, or what they wait for."""

from pathlib import Path

import pytest

from console.greeting import sample_query
from engine.front import plan_service
from havok.layout import dataset_dir, version_dir
from havok.manifest import read_manifest
from havok.settings import ParamSettings, ServiceSettings
from tests import snapshots
from tests.console.person import Person, until


def test_nothing_is_said_to_load_that_will_not(person: Person) -> None:
    """One whose load failed, one whose version is damaged, one without a source; and one that does load."""
    (person.directory / "places.csv").unlink()
    broken = dataset_dir(person.data_dir, "broken")
    broken.mkdir(parents=True)
    (broken / "CURRENT").write_text("garbage")
    person.config.write_text(
        person.config.read_text()
        + "".join(
            f'[datasets.{name}]\nkey = ["id"]\n{more}[services.{name}]\nkind = "kv"\ndataset = "{name}"\n'
            'compartment = "one"\n'
            for name, more in (("broken", 'source = "things.csv"\n'), ("sourceless", ""))
        )
    )
    served = person.serve(ready=False)
    for line in (
        f"  thing       curl 'http://127.0.0.1:{person.port}/v1/thing?id=0'",
        "  place       places could not be loaded; mend it and run: havok load places",
        "  broken      no version of broken can be served: version garbage has no readable manifest",
        "  sourceless  waits for its data: havok load sourceless FILE",
    ):
        until(lambda line=line: line in served.words(), line)
    assert "loading broken" not in served.words()
    assert "loading sourceless" not in served.words()


@pytest.mark.parametrize(("pattern", "query"), [(None, "id=a+1"), ("^b", "id=b"), ("^c", None)])
def test_a_sample_is_the_first_row_that_fits_the_rules(tmp_path: Path, pattern: str | None, query: str | None) -> None:
    version = snapshots.build(tmp_path, "things", {"a 1": {"v": "x"}, "b": {"v": "y"}}, 1)
    directory = version_dir(tmp_path, "things", version)
    rules = {} if pattern is None else {"id": ParamSettings(pattern=pattern)}
    service = ServiceSettings(kind="kv", dataset="things", compartment="one", params=rules)
    plan = plan_service("thing", service, {"things": read_manifest(directory)})
    assert sample_query(plan, directory) == query


def test_a_sample_that_cannot_be_had_is_forgone(tmp_path: Path) -> None:
    version = snapshots.build(tmp_path, "things", {"a": {"v": "x"}}, 1)
    manifest = read_manifest(version_dir(tmp_path, "things", version))
    plan = plan_service("thing", ServiceSettings(kind="kv", dataset="things", compartment="one"), {"things": manifest})
    assert sample_query(plan, tmp_path / "elsewhere") is None
