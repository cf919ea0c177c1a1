"""Style is a test: floors, cycles, lengths, names, and calls that have a better replacement.

Rule: every check returns what it found as `file:line: what, and what to do instead`, for
all files at once. An exemption is an entry in a table of `tests.tidiness`, with its reason beside it.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.tidiness import (
    BANNED_CALLS,
    BANNED_FILES,
    BANNED_IMPORTS,
    CALLS_ALLOWED,
    FOLDERS,
    FUNCTION_LINES_MAX,
    HEAVY,
    IMPURE_IMPORTS,
    KNOTS,
    LINES_MAX,
    LINES_MAX_HARD,
    LONG_FILES,
    MANY_AT_ONCE,
    MAY_IMPORT,
    PACKAGES,
    PURE,
    ROOMS,
    ROOT,
    UNMIRRORED,
    WALL_CLOCK_PLACES,
    WALL_CLOCKS,
)


@cache
def files(*folders: str) -> tuple[str, ...]:
    return tuple(
        path.relative_to(ROOT).as_posix()
        for folder in folders or FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    )


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(), file)


def module_of(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def imports(file: str) -> Iterator[tuple[int, str]]:
    """(line, dotted module or module.name) of every import, wherever in the file it stands."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import; write the package"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def aliases(file: str) -> dict[str, str]:
    """Local name → the dotted name it was imported as."""
    names: dict[str, str] = {}
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """`now()` after `from time import time as now` → `time.time`; "" for what has no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return ""


def calls(file: str) -> Iterator[tuple[int, str]]:
    names = aliases(file)
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func, names)


def functions(file: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_only_go_down() -> None:
    found = [
        f"{file}:{line}: {file.split('/')[0]} must not import {name}"
        for file in files(*PACKAGES)
        for line, name in imports(file)
        if (top := name.split(".")[0]) in (*PACKAGES, "bench", "tests")
        and top not in MAY_IMPORT[file.split("/")[0]] | {file.split("/")[0]}
    ]
    assert found == []


def test_no_module_is_in_an_import_cycle() -> None:
    modules = {module_of(file): file for file in files(*PACKAGES, "bench")}
    uses = {}
    for module, file in modules.items():
        named = {name if name in modules else name.rpartition(".")[0] for _, name in imports(file)}
        uses[module] = {name for name in named & modules.keys() - {module} if (module, name) not in KNOTS}
    while True:  # peel off what uses nothing of the rest, and what nothing of the rest uses
        used = set().union(*uses.values())
        peeled = {module for module in uses if not uses[module] or module not in used}
        if not peeled:
            break
        uses = {module: names - peeled for module, names in uses.items() if module not in peeled}
    assert {module: sorted(names) for module, names in uses.items()} == {}, "these import each other in a circle"


@pytest.mark.skipif(not (ROOT / "compartments/worker.py").exists(), reason="there is no worker yet")
@pytest.mark.parametrize("module", ["compartments.worker", "compartments.gate", "compartments.queries.executors"])
def test_a_process_that_serves_stays_small(module: str) -> None:
    code = f"import {module}, sys; print(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


def test_files_have_a_bearable_length() -> None:
    found = []
    for file in files():
        lines, limit = len((ROOT / file).read_text().splitlines()), LINES_MAX_HARD if file in LONG_FILES else LINES_MAX
        if lines > limit:
            found.append(f"{file}: {lines} lines, at most {limit}: it holds two things")
    assert found == []


def test_functions_have_a_bearable_length() -> None:
    found = [
        f"{file}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"
        for file in files()
        for node in functions(file)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert found == []


def test_every_module_says_its_rule() -> None:
    assert [file for file in files() if not ast.get_docstring(tree(file))] == []


def test_files_are_nouns() -> None:
    assert [file for file in files() if Path(file).stem in BANNED_FILES] == []


def test_a_package_re_exports_nothing_but_havok() -> None:
    found = [
        f"{package}/__init__.py:{node.lineno}: a package's face is its docstring"
        for package in PACKAGES
        if package != "havok" and (ROOT / package / "__init__.py").exists()
        for node in tree(f"{package}/__init__.py").body[1:]
    ]
    assert found == []


def test_no_banned_call_or_import() -> None:
    found = []
    for file in files(*PACKAGES):
        for line, name in calls(file):
            allowed = (file, name) in CALLS_ALLOWED or (name == "print" and file.startswith("console/"))
            if name in BANNED_CALLS and not allowed:
                found.append(f"{file}:{line}: {name}; instead: {BANNED_CALLS[name]}")
        for line, name in imports(file):
            if (top := name.split(".")[0]) in BANNED_IMPORTS:
                found.append(f"{file}:{line}: {top}; instead: {BANNED_IMPORTS[top]}")
    assert found == []


def test_the_wall_clock_is_read_only_for_people() -> None:
    found = [
        f"{file}:{line}: {name}; take the time as an argument, monotonic where it decides something"
        for file in files(*PACKAGES)
        if file not in WALL_CLOCK_PLACES
        for line, name in calls(file)
        if name in WALL_CLOCKS
    ]
    assert found == []


def test_nothing_sleeps_in_a_loop_or_a_test() -> None:
    found = []
    for file in files():
        names = aliases(file)
        scopes: list[ast.AST] = [tree(file)] if file.startswith("tests/") else []
        scopes += [node for node in functions(file) if isinstance(node, ast.AsyncFunctionDef)]
        found += [
            f"{file}:{node.lineno}: time.sleep; wait for what it stands for (event, file, socket), with a deadline"
            for scope in scopes
            for node in ast.walk(scope)
            if isinstance(node, ast.Call) and dotted(node.func, names) == "time.sleep"
        ]
    assert found == []


def test_every_task_has_an_owner() -> None:
    found = [
        f"{file}:{node.lineno}: a task nobody holds; keep it, and await or cancel it at the end"
        for file in files()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute | ast.Name)
        and dotted_end(node.value.func) in ("create_task", "ensure_future")
    ]
    assert found == []


def dotted_end(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id


def test_nothing_is_read_from_the_environment_at_import() -> None:
    found = []
    for file in files(*PACKAGES, "tests"):
        names = aliases(file)
        inside = {id(inner) for function in functions(file) for inner in ast.walk(function)}
        found += [
            f"{file}:{node.lineno}: os.environ at import; read it where it is needed, once, and pass it on"
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Attribute) and id(node) not in inside and dotted(node, names) == "os.environ"
        ]
    assert found == []


def test_no_error_vanishes() -> None:
    broad = {"Exception", "BaseException", "contextlib.suppress"}
    found = []
    for file in files(*PACKAGES, "bench"):
        names = aliases(file)
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler):
                every = node.type is None or dotted(node.type, names) in broad
                silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
            elif isinstance(node, ast.Call) and dotted(node.func, names) == "contextlib.suppress":
                every = silent = any(dotted(argument, names) in broad for argument in node.args)
            else:
                continue
            if every and silent:
                found.append(f"{file}:{node.lineno}: every error swallowed; name those that may be, or tell of them")
    assert found == []


def test_decisions_are_pure() -> None:
    found = [
        f"{file}:{line}: a decision imports {name}; pass in what it needs"
        for file in files(*PACKAGES)
        if Path(file).stem in PURE
        for line, name in imports(file)
        if name.split(".")[0] in IMPURE_IMPORTS
    ]
    assert found == []


def test_rooms_import_downwards() -> None:
    rooms = {path.name for path in (ROOT / "compartments").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == set(ROOMS)
    found = []
    for file in files("compartments"):
        room = Path(file).parent.name
        if room == "compartments":
            continue
        for line, name in imports(file):
            first, *rest = name.split(".")
            if first == "compartments" and rest and rest[0] != room and rest[0] not in ROOMS[room]:
                found.append(f"{file}:{line} imports {name}: {room} is not above {rest[0]}")
    assert found == []


def test_tests_mirror_sources() -> None:
    found = []
    for file in files("tests"):
        path = Path(file)
        if not path.name.startswith("test_") or file in UNMIRRORED or file.startswith(MANY_AT_ONCE):
            continue
        words = path.stem.removeprefix("test_").split("_")
        folder = path.relative_to("tests").parent  # a source's tests may fill several files: NAME_aspect
        sources = [folder / f"{'_'.join(words[:count])}.py" for count in range(len(words), 0, -1)]
        if not any((ROOT / source).exists() for source in sources):
            found.append(f"{file}: there is no {sources[0].as_posix()}")
    assert found == []


def test_every_package_is_shipped_with_its_types() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").exists()] == []


def test_no_exemption_outlives_its_reason() -> None:
    exempt = {*LONG_FILES, *WALL_CLOCK_PLACES, *UNMIRRORED, *(file for file, _ in CALLS_ALLOWED)}
    used = {file for file in files(*PACKAGES) for _, name in calls(file) if name in WALL_CLOCKS}
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in LONG_FILES if (ROOT / file).exists()}
    found = [f"{file} is gone" for file in sorted(exempt) if not (ROOT / file).exists()]
    found += [f"{file} reads no wall clock" for file in sorted(set(WALL_CLOCK_PLACES) - used)]
    found += [f"{file} is short now" for file, lines in lengths.items() if lines <= LINES_MAX]
    assert found == [], "take these out of the tables above"
