"""Files become settings; whatever is wrong with them becomes faults, all at once."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from havok.config import EXTRA, FILE_BYTES_MAX, Loaded, load_settings, read_settings
from havok.errors import ConfigError
from havok.settings import Settings

SHIPPED = (Path(__file__).parents[2] / "havok.toml").read_text()
CPUS = (0, 1)

SMALL = """
[datasets.airports]
source = "data/airports.csv"
key = ["faa"]
[compartments.high]
business = "travel"
[services.airport]
kind = "kv"
dataset = "airports"
compartment = "high"
"""


def read(directory: Path, text: str | bytes = SMALL, **others: str) -> Loaded:
    """Writes havok.toml (and `NAME.toml` for each other) and reads it."""
    path = directory / "havok.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, content in others.items():
        (directory / f"{name}.toml").write_text(content)
    return read_settings(path, cpus=CPUS)


def faults_of(loaded: Loaded) -> list[str]:
    return [f"{Path(fault.file).name}: {fault.key}: {fault.reason}" for fault in loaded.faults]


def test_a_sound_file(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert loaded.faults == ()
    assert loaded.root == tmp_path
    assert loaded.data_dir == tmp_path / "var"
    assert loaded.settings.node.data_dir == str(tmp_path / "var")
    assert loaded.files == (str(tmp_path / "havok.toml"),)
    assert loaded.settings.datasets["airports"].source == str(tmp_path / "data" / "airports.csv")
    assert load_settings(tmp_path / "havok.toml", cpus=CPUS) == loaded.settings


def test_a_relative_path_to_the_file_still_gives_absolute_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    loaded = read_settings(Path(tmp_path.name) / "havok.toml", cpus=CPUS)
    assert loaded.files == (f"{tmp_path.name}/havok.toml",)
    assert (loaded.root, loaded.data_dir) == (tmp_path, tmp_path / "var")


@pytest.mark.parametrize(
    "source",
    ["SELECT * FROM 'x.csv'", " with a AS (SELECT 1) SELECT * FROM a", "from 'x.csv'", "s3://bucket/x.parquet", "/abs"],
)
def test_sources_that_are_no_relative_path_stay_as_written(tmp_path: Path, source: str) -> None:
    loaded = read(tmp_path, SMALL.replace('"data/airports.csv"', f'"{source}"'))
    assert loaded.settings.datasets["airports"].source == source


@pytest.mark.parametrize("source", ["selected.csv", "from/x.csv", "with.csv", "*.parquet"])
def test_sources_that_only_look_like_sql_are_paths(tmp_path: Path, source: str) -> None:
    loaded = read(tmp_path, SMALL.replace('"data/airports.csv"', f'"{source}"'))
    assert loaded.settings.datasets["airports"].source == str(tmp_path / source)


def test_load_settings_refuses_with_every_fault(tmp_path: Path) -> None:
    text = SMALL.replace('key = ["faa"]', "key = []\nkep_versions = 2").replace('"kv"', '"kw"')
    (tmp_path / "havok.toml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "havok.toml", cpus=CPUS)
    assert [(fault.key, fault.reason) for fault in refused.value.faults] == [
        ("datasets.airports.kep_versions", "unknown key; did you mean keep_versions?"),
        ("services.airport.kind", 'expected one of "kv", "sql", got the string \'kw\''),
        ("datasets.airports.key", "a dataset needs at least one key column"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[node\n", "havok.toml: : line 1, column 6: expected ']' at the end of a table declaration"),
        ("a = ", "havok.toml: : at its end: invalid value"),
        ("[node]\nname = \n", "havok.toml: : line 2, column 8: invalid value"),
        ("[node]\nname = 'a'\nname = 'b'\n", "havok.toml: : line 3, column 11: cannot overwrite a value"),
        (b"[node]\nname = '\xff'\n", "havok.toml: : line 2: is not UTF-8"),
        ("a = " + "[" * 5000, "havok.toml: : is nested too deeply"),
        ("a = " + "9" * 5000, "havok.toml: : holds an integer of more than 64 bits"),
        (b"#" * (FILE_BYTES_MAX + 1), "havok.toml: : is larger than 4 MiB"),
        ("nod = {}", "havok.toml: nod: unknown key; did you mean node?"),
        ("services = 3", "havok.toml: services: expected a table, got the integer 3"),
        ("[node]\nlisten = 8080", "havok.toml: node.listen: expected a string, got the integer 8080"),
        ("[node]\ninclude = 'x'", "havok.toml: node.include: expected an array of strings, got the string 'x'"),
        ("[node]\ninclude = [3]", "havok.toml: node.include[0]: expected a string, got the integer 3"),
        (
            "[services.a-b.c]",
            "havok.toml: services.a-b.c: unknown key; known here: analytical, batch_max, compartment, dataset, fields, "
            "grade, kind, max_rows_scanned, params, rate_limit, sql, weight",
        ),
        (
            "[compartments.Big]\nbusiness = 'b'",
            "havok.toml: compartments.Big: a name is a lower-case letter, then up to 62 lower-case letters, "
            "digits, - or _",
        ),
    ],
)
def test_each_fault_of_a_file_has_a_place_and_a_reason(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert expected in faults_of(read(tmp_path, text))


@pytest.mark.parametrize("kind", ["union", "ingest"])
def test_a_kind_of_a_later_version_is_one_fault_and_not_many(tmp_path: Path, kind: str) -> None:
    loaded = read(tmp_path, SMALL + f'[services.later]\nkind = "{kind}"\nsql = "SELECT 1"\nsteps = [{{}}]\n')
    assert faults_of(loaded) == [
        f'havok.toml: services.later.kind: this version of Havok serves the kinds kv and sql, not "{kind}" yet'
    ]
    assert set(loaded.settings.services) == {"airport"}


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    loaded = read_settings(tmp_path / "none.toml", cpus=CPUS)
    assert faults_of(loaded) == [
        "none.toml: : there is no such file; `havok init DIR` writes one, and -c names another"
    ]
    assert loaded.settings.services == {}
    assert faults_of(read_settings(tmp_path, cpus=CPUS)) == [
        f"{tmp_path.name}: : is a directory; name the TOML file in it"
    ]


def test_a_value_that_is_wrong_is_not_told_twice(tmp_path: Path) -> None:
    text = SMALL.replace('business = "travel"', 'business = "travel"\nwatermarks = { low = "x", high = 0.2 }')
    assert faults_of(read(tmp_path, text)) == [
        "havok.toml: compartments.high.watermarks.low: expected a finite number, got the string 'x'"
    ]
    assert faults_of(read(tmp_path, SMALL.replace('dataset = "airports"', ""))) == [
        "havok.toml: services.airport.dataset: missing; expected a string"
    ]


SQL_SERVICE = """
[services.near]
kind = "sql"
compartment = "high"
sql = "SELECT name FROM nowhere WHERE lat > :lat AND faa IN (:faas)"
params = { lat = { type = "float", default = 40 }, faas = { type = "list<string>", default = ["JFK"], max_items = 9 } }
"""


def test_a_sql_service_stands_on_no_dataset_of_its_own(tmp_path: Path) -> None:
    loaded = read(tmp_path, SMALL.replace('key = ["faa"]', "key = 3") + SQL_SERVICE)
    assert [fault.key for fault in loaded.faults] == ["datasets.airports.key"]
    assert set(loaded.settings.services) == {"near"}
    near = loaded.settings.services["near"]
    assert (near.dataset, near.max_rows_scanned, near.analytical) == (None, 100_000, False)
    assert near.params["lat"].default == 40
    assert near.params["faas"].default == ("JFK",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"sql"', '"sq"', ["kind: expected one of \"kv\", \"sql\", got the string 'sq'; did you mean \"sql\"?"]),
        ('"sql"', '"kv"', [
            "dataset: missing; expected a string",
            'sql: is for services of kind "sql"; a kv service finds rows by their key',
            "params.lat.type: a key column is never a float; name the column's own type",
            "params.faas.type: a key column is never a list; name the column's own type",
        ]),
        ("sql =", "sq =", ["sq: unknown key; did you mean sql?", "sql: missing; expected a string"]),
        ('sql = "', 'sql = 3 # "', ["sql: expected a string, got the integer 3"]),
        ('sql = "', 'dataset = 3\nsql = "', ["dataset: expected a string, got the integer 3"]),
        ('["JFK"]', '["JFK", []]', [
            "params.faas.default[1]: expected a string or an integer or a finite number or true or false, "
            "got an empty array",
        ]),
        ('["JFK"]', "[2013-01-31]", []),
    ],
)  # fmt: skip
def test_faults_of_a_sql_service(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    loaded = read(tmp_path, SMALL + SQL_SERVICE.replace(old, new, 1))
    assert faults_of(loaded) == [f"havok.toml: services.near.{fault}" for fault in expected]


def test_what_stands_on_a_faulty_entry_is_left_out_with_it(tmp_path: Path) -> None:
    text = SMALL.replace('key = ["faa"]', "key = 3") + '[datasets.planes]\nkey = ["tailnum"]\n[node]\ndrain_s = -1\n'
    loaded = read(tmp_path, text)
    assert len(loaded.faults) == 2
    assert set(loaded.settings.datasets) == {"planes"}
    assert loaded.settings.services == {}
    assert loaded.settings.node.drain_s == Settings().node.drain_s


def test_cores_are_those_of_this_process_by_default(tmp_path: Path) -> None:
    text = SMALL.replace('business = "travel"', 'business = "travel"\ncpus = [4095]')
    assert "this machine has no core 4095 for us; it has 0-1" in faults_of(read(tmp_path, text))[0]
    assert "this machine has no core 4095 for us" in faults_of(read_settings(tmp_path / "havok.toml"))[0]


class TestInclude:
    def test_entries_of_all_files_are_one(self, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "planes.toml").write_text('[datasets.planes]\nkey = ["tailnum"]\nsource = "planes.csv"\n')
        loaded = read(
            tmp_path,
            '[node]\ninclude = ["*.toml", "more/*.toml", "none/*.toml", "more/planes.toml"]\n' + SMALL,
            zone="[node]\nzone = 'dc-b'\n",
        )
        assert loaded.faults == ()
        assert [Path(file).name for file in loaded.files] == ["havok.toml", "zone.toml", "planes.toml"]
        assert loaded.settings.node.zone == "dc-b"
        assert loaded.settings.datasets["planes"].source == str(tmp_path / "more" / "planes.csv")

    def test_an_entry_in_two_files_names_both(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, '[node]\nname = "a"\ninclude = ["b.toml"]\n' + SMALL, b=SMALL + "[node]\nname = 'b'")
        assert faults_of(loaded) == [
            f"b.toml: {key}: this {what} stands in {tmp_path}/havok.toml already; remove one of the two"
            for key, what in (
                ("datasets.airports", "dataset"),
                ("compartments.high", "compartment"),
                ("services.airport", "service"),
                ("node.name", "key"),
            )
        ]

    def test_faults_name_the_file_they_are_in(self, tmp_path: Path) -> None:
        loaded = read(
            tmp_path,
            '[node]\ninclude = ["*.toml"]\n' + SMALL,
            b="[services.x]\nkind = 'kv'\ndataset = 'airport'\ncompartment = 'high'\nfild = []\n",
            c="[node]\ndrain_s = 'x'\n[oops]\n",
            d="= 3",
        )
        assert faults_of(loaded) == [
            "b.toml: services.x.fild: unknown key; did you mean fields?",
            "b.toml: services.x.dataset: there is no dataset 'airport'; did you mean airports?",
            "c.toml: oops: unknown key; known here: compartments, datasets, loader, node, services",
            "c.toml: node.drain_s: expected a finite number, got the string 'x'",
            "d.toml: : line 1, column 1: invalid statement",
        ]

    def test_a_file_named_without_a_glob_must_exist(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, '[node]\ninclude = ["gone.toml"]\n' + SMALL)
        assert faults_of(loaded) == [f"havok.toml: node.include[0]: there is no file gone.toml in {tmp_path}"]

    def test_a_directory_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "more.toml").mkdir()
        assert faults_of(read(tmp_path, '[node]\ninclude = ["more.toml"]\n')) == [
            "more.toml: : is a directory; name the TOML file in it"
        ]
        assert faults_of(read(tmp_path, '[node]\ninclude = ["*.toml"]\n')) == []

    def test_an_included_file_includes_nothing(self, tmp_path: Path) -> None:
        loaded = read(tmp_path, '[node]\ninclude = ["b.toml"]\n', b="[node]\ninclude = ['c.toml']\n")
        assert faults_of(loaded) == ["b.toml: node.include: only the main file can include others"]


def test_services_added_at_run_time(tmp_path: Path) -> None:
    read(tmp_path)
    service = {"kind": "kv", "dataset": "airports", "compartment": "high", "fields": ["name"]}
    loaded = read_settings(tmp_path / "havok.toml", {"name": service}, cpus=CPUS)
    assert loaded.faults == ()
    assert loaded.settings.services["name"].fields == ("name",)
    loaded = read_settings(tmp_path / "havok.toml", {"airport": service, "b": {**service, "x": 1}}, cpus=CPUS)
    assert [(fault.file, fault.key) for fault in loaded.faults] == [
        (EXTRA, "services.airport"),
        (EXTRA, "services.b.x"),
    ]


LINES = SHIPPED.splitlines(keepends=True)
PIECES = [
    "[",
    "]",
    "=",
    '"',
    "'",
    "\n",
    "{",
    "}",
    ",",
    ".",
    "-1",
    "1e999",
    "nan",
    "true",
    "\0",
    "é",
    "2013-01-31",
    "[[x]]",
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The shipped file with up to four lines dropped, doubled, swapped, uncommented or broken."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        action = draw(st.sampled_from(["drop", "double", "swap", "uncomment", "splice", "value"]))
        if action == "drop" and len(lines) > 1:
            del lines[at]
        elif action == "double":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif action == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif action == "uncomment":
            lines[at] = lines[at].removeprefix("# ")
        elif action == "splice":
            cut = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:cut] + draw(st.sampled_from(PIECES)) + lines[at][cut:]
        else:
            value = draw(st.sampled_from(["3", "-3", '"x"', "[]", "{}", "true", "0.5", "[[1]]", '{ a = "b" }', "inf"]))
            key = re.match(r"(?:# )?(\w+ = )", lines[at])
            lines[at] = f"{key[1]}{value}\n" if key else lines[at]
    return "".join(lines)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=mutated())
def test_no_mutation_of_the_shipped_file_is_a_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "havok.toml"
    path.write_text(text)
    loaded = read_settings(path, cpus=CPUS)
    assert all(fault.reason for fault in loaded.faults)
    if loaded.faults:
        with pytest.raises(ConfigError) as refused:
            load_settings(path, cpus=CPUS)
        assert tuple(refused.value.faults) == loaded.faults
    else:
        assert load_settings(path, cpus=CPUS) == loaded.settings
