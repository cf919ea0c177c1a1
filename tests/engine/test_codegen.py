"""Generated code: it compiles whatever columns are called, and cannot be injected into."""

import ast
import itertools
import keyword
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.codegen import LINE_MAX, canonical_pattern, generate
from engine.plan import Fields, Param, Plan, Point, Rules, WholeRow
from engine.program import Compiled, Program, _namespace
from engine.snapshot import Snapshot, open_snapshot
from havok.keys import KeyKind, KeyValue
from tests.engine.making import Row, write_version

KINDS: tuple[KeyKind, ...] = get_args(KeyKind)
WEIRD = [
    "; import os",
    '"""; import os; """',
    "'''",
    "a\nimport os\n",
    "\\",
    "a\x00b",
    "naïve",
    "ﬁ",  # a ligature: Python's identifiers are normalised to `fi`
    "class",
    "p_0",
    "0",
    "_0",
    "__debug__",
    "get",
    "key",
    "value",
    "text",
    "match",
    "canonical",
    "RESIDUE",
    "crc32",
    "pack1",
    "%s{0}",
    " ",
    "#",
    "x" * 300,
]


def point_of(
    *key: tuple[str, KeyKind], fields: tuple[str, ...] = (), dataset: str = "d", listed: bool = False
) -> Point:
    params = tuple(Param(name, kind) for name, kind in key)
    return Point(dataset, params, Fields(fields) if fields else WholeRow(), batch_max=10, listed=listed)


def compiled(point: Point) -> Compiled:
    return Compiled(Plan("s", "c", "kv", point, (), 1), point)


def names_of(source: str) -> tuple[set[str], set[str], list[ast.stmt]]:
    """(names read, names bound, statements of the module)."""
    tree = ast.parse(source)
    read: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            bound.add(node.name)
    return read, bound, tree.body


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_combination_of_kinds_compiles(count: int) -> None:
    for kinds in itertools.product(KINDS, repeat=count):
        source = generate("s", point_of(*((f"c{number}", kind) for number, kind in enumerate(kinds))))
        compile(source, "generated", "exec")
        has_query = all(kind not in ("date", "timestamp") for kind in kinds)
        assert ("def query" in source) == has_query


@given(
    names=st.lists(st.one_of(st.sampled_from(WEIRD), st.text(max_size=20)), min_size=1, max_size=6, unique=True),
    kinds=st.lists(st.sampled_from(KINDS), min_size=6, max_size=6),
    fields=st.lists(st.one_of(st.sampled_from(WEIRD), st.text(max_size=20)), max_size=4, unique=True),
    dataset=st.sampled_from(["d", *WEIRD]),
    listed=st.booleans(),
)
@example(names=WEIRD, kinds=["string"] * len(WEIRD), fields=WEIRD, dataset='"""', listed=True)
@example(names=["a"], kinds=["string"], fields=[], dataset="a\x00b", listed=False)
def test_names_cannot_inject_or_clash(
    airports: Snapshot, names: list[str], kinds: list[KeyKind], fields: list[str], dataset: str, listed: bool
) -> None:
    point = point_of(*zip(names, kinds, strict=False), fields=tuple(fields), dataset=dataset, listed=listed)
    source = generate(dataset, point)
    assert source.isascii()
    read, bound, body = names_of(source)
    assert {node.name for node in body if isinstance(node, ast.FunctionDef)} <= {"query", "point", "batch"}
    assert all(isinstance(node, ast.FunctionDef) for node in body)
    namespace = _namespace(compiled(point), airports)
    builtins = {"len", "int"}
    assert read - bound <= namespace.keys() | builtins, "something is read that was not given"
    assert not bound & (namespace.keys() | builtins), "a given name is hidden"
    arguments = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == "point").args.args
    assert len({argument.arg for argument in arguments}) == len(point.params), "two parameters have one name"
    assert all(argument.arg.startswith("p_") and not keyword.iskeyword(argument.arg) for argument in arguments)


@pytest.fixture(scope="module")
def airports(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return open_snapshot(write_version(tmp_path_factory.mktemp("codegen") / "v", [("faa", "string")], []))


def test_long_lines_are_broken() -> None:
    numbers, strings = itertools.repeat(KINDS[1], 9), itertools.repeat(KINDS[0], 3)
    kinds: list[KeyKind] = [*numbers, *strings, "bool", "wide", "uint", "string"]
    point = point_of(
        *((f"a_rather_long_column_{number}", kind) for number, kind in enumerate(kinds)),
        fields=tuple(f"field_{number}" for number in range(40)),
    )
    source = generate("s", point)
    assert max(len(line) for line in source.splitlines()) <= LINE_MAX
    compile(source, "generated", "exec")


def test_a_short_key_stays_on_a_line() -> None:
    source = generate("s", point_of(("origin", "string"), ("year", "int"), ("month", "int")))
    assert "    p_origin, p_year, p_month = match.groups()\n" in source
    assert '    key = join((p_origin, b"\\0", pack2(int(p_year) + INT_BIAS, int(p_month) + INT_BIAS)))\n' in source


def test_rules_and_odd_names_are_the_binders() -> None:
    assert canonical_pattern(Point("d", (Param("faa", "string"),))) is not None
    assert canonical_pattern(Point("d", (Param("a b", "string"),))) is None
    assert canonical_pattern(Point("d", (Param("é", "string"),))) is None
    assert canonical_pattern(Point("d", (Param("day", "date"),))) is None
    assert canonical_pattern(Point("d", (Param("faa", "string", Rules(pattern="^A")),))) is None


@pytest.mark.parametrize("kinds", [("bool", "int"), ("int", "bool"), ("bool", "bool"), ("bool", "string"), ("bool",)])
def test_a_boolean_beside_another_part(tmp_path: Path, kinds: tuple[KeyKind, ...]) -> None:
    """`b"\\1" if p else b"\\0" + rest` would drop the rest."""
    domain: dict[str, tuple[KeyValue, ...]] = {"bool": (False, True), "int": (-1, 7), "string": ("", "é")}
    rows: list[Row] = [(values, {"v": repr(values)}) for values in itertools.product(*(domain[kind] for kind in kinds))]
    key: list[tuple[str, KeyKind]] = [(f"c{number}", kind) for number, kind in enumerate(kinds)]
    snapshot = open_snapshot(write_version(tmp_path / "v", key, rows, columns=[("v", "VARCHAR")]))
    program = Program(compiled(point_of(*key, dataset="airports")), {"airports": snapshot})
    for values, row in rows:
        assert program.point(*values) == b'{"v":"%b"}' % str(row["v"]).encode()
        text = "&".join(f"{name}={str(value).lower()}" for (name, _), value in zip(key, values, strict=True))
        if text.isascii():
            assert program.query(text.encode()) == program.point(*values)


def test_a_look_up_that_is_a_query_answers_with_a_list(tmp_path: Path) -> None:
    snapshot = open_snapshot(write_version(tmp_path / "v", [("faa", "string")], [(("JFK",), {"faa": "JFK", "v": 1})]))
    point = point_of(("faa", "string"), fields=("v",), dataset="airports", listed=True)
    program = Program(compiled(point), {"airports": snapshot})
    assert program.query(b"faa=JFK") == program.point("JFK") == b'[{"v":1}]'
    assert program.query(b"faa=LGA") == program.point("LGA") == b"[]"
