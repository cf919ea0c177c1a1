"""What the style test holds files to, and the exemptions from it, each with its reason."""

from pathlib import Path

ROOT = Path(__file__).parents[1]

# A package may import itself and these; DESIGN 2.1.
MAY_IMPORT: dict[str, set[str]] = {
    "havok": set(),
    "engine": {"havok"},
    "loader": {"havok"},
    "compartments": {"havok", "engine"},
    "console": {"havok", "engine", "loader", "compartments"},
}
PACKAGES = tuple(MAY_IMPORT)
# Rooms of `compartments`, and what each may import of the others; what stands at its top has them all.
ROOMS: dict[str, set[str]] = {
    "facts": set(),
    "connections": {"facts"},
    "machine": set(),
    "load": {"facts"},
    "processes": {"machine"},
    "queries": {"processes"},
    "versions": {"facts", "processes", "queries"},
    "people": {"versions"},
}
FOLDERS = (*PACKAGES, "bench", "tests")

LINES_MAX = 350
LINES_MAX_HARD = 400
LONG_FILES: dict[str, str] = {  # up to the hard limit
}
FUNCTION_LINES_MAX = 70
BANNED_FILES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core", "shared"}

KNOTS = {  # imports for type checkers only, which close a circle
    ("engine.http.connection", "engine.http.server"): "a connection calls back the server that made it",
    ("engine.http.peer", "engine.http.server"): "the same",
    ("engine.http.answered", "engine.http.server"): "the same",
    ("engine.http.hand_overs", "engine.http.server"): "it moves the connections of the server that made it",
}

# Decisions: (state, event, now) in, commands out.
PURE = {"watermarks", "rebalance", "moves", "spread", "condition", "placement", "admission", "restarts", "planner"}
PURE |= {"quality", "relations", "typed", "param_rules", "access", "sqltype", "scalar", "query_code", "block_code"}
PURE |= {"intended", "retyping", "wanted", "staffing", "suspects", "recycling", "shares", "budget", "passage"}
PURE |= {"courtesy"}
IMPURE_IMPORTS = {"asyncio", "socket", "os", "time", "subprocess", "threading", "random", "zmq", "psutil", "uvloop"}

# What a worker must not load: it starts fast and stays small.
HEAVY = ("duckdb", "pyarrow", "nanoarrow", "sqlglot", "aiohttp", "typer", "rich")

BANNED_CALLS = {
    "eval": "parse it",
    "exec": "only the compiler of plans runs generated code",
    "print": "raise, return or log; the console prints",
    "os.getenv": "settings come from havok.toml",
    "datetime.datetime.utcnow": "datetime.datetime.now(datetime.UTC), in a place that may ask for the time",
}
BANNED_IMPORTS = {
    "pickle": "msgspec.msgpack, which cannot run code",
    "marshal": "msgspec.msgpack, which cannot run code",
    "shelve": "SQLite or LMDB",
    "imp": "importlib",
}
CALLS_ALLOWED = {
    ("engine/program.py", "exec"): "the compiler of plans",
    ("engine/queries/query_program.py", "exec"): "the compiler of queries",
}
WALL_CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.date.today",
}
WALL_CLOCK_PLACES = {  # for people; everything that decides takes the monotonic clock as an argument
    "engine/http/server.py": "the Date header",
    "compartments/gate.py": "the Date header",
    "console/serve.py": "how long the start took, and when a line was logged",
    "compartments/people/audit.py": "when something was done, for people",
    "loader/publish.py": "version ids and the manifest's date",
    "loader/rollback.py": "the history's dates",
}
UNMIRRORED = {  # tests of what is no module, or of several at once
    "tests/test_tidy.py": "the style of every file",
    "tests/havok/test_reference.py": "havok.toml",
}
MANY_AT_ONCE = ("tests/e2e/", "tests/endurance/", "tests/simulation/")  # whole nodes: by sockets; for hours; by seeds
