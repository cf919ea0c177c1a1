"""PostgreSQL with the same key and index, asked through asyncpg: the row store one would take instead.

A server of its own, in a directory and with a socket of its own, in favour of reading: nothing
is synced, tables are loaded in the order of their key, vacuumed and analyzed, and small enough
for its buffers. PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import duckdb

from bench.calls import Callee
from bench.peer import Drive, Place, Running
from bench.process import Server, StartFailed, python
from bench.questions import DATASETS, DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS, datasets

ASKED = {service: f"PostgreSQL, {service}" for service in (DEPARTURES, PLANE_HISTORY, ROUTE_DELAYS)}
DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
_INITDB_S_MAX = 60.0
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "256MB",  # both tables and their indexes
    "autovacuum": "off",  # vacuumed once, after the load
    "max_parallel_workers_per_gather": "0",  # one core, as for everybody
    "jit": "off",  # compiling takes longer than these queries
}


def _program(name: str) -> str | None:
    """On PATH, or where Debian keeps the newest version's."""
    newest = sorted(DEBIAN.glob("*/bin"), key=lambda path: (len(path.parent.name), path.parent.name), reverse=True)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, newest)]))


def _has_user() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


class Postgres:
    name = "PostgreSQL"

    def unavailable(self) -> str | None:
        if find_spec("asyncpg") is None:
            return "asyncpg is not installed (pip install asyncpg)"
        if not (_program("initdb") and _program("postgres")):
            return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.geteuid() == 0 and not _has_user():
            return f"it does not run as root, and there is no user {USER}"
        return None

    def start(self, place: Place) -> Running:
        with ExitStack() as stack:
            # The benchmark's own directory is root's alone, and a socket's path must be short.
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="havok-pg-")))
            user = USER if os.geteuid() == 0 else None
            if user is not None:
                shutil.chown(home, user, pwd.getpwnam(user).pw_gid)
            server = _start_server(home, place.cores.server, user)
            stack.callback(server.stop)
            argv = python("bench.peers.asyncpg_app", str(home), *_write_tables(place.directory))
            client = Server(argv, place.cores.server, place.directory / "log", talks=True)
            stack.callback(client.stop)
            callee = Callee(client)
            stop = stack.pop_all().close
        note = "asyncpg, prepared; the client, which makes the JSON, and its backend are counted"
        drives = tuple(
            Drive(row, "itself", callee.drive(service), note=note if service == DEPARTURES else "")
            for service, row in ASKED.items()
        )
        return Running(lambda: callee.pids, drives, stop, callee.answer)


def _start_server(home: Path, core: int, user: str | None) -> Server:
    """Accepting on a socket in `home`. Raises StartFailed."""
    data = home / "data"
    argv = [_program("initdb") or "initdb", "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"]
    argv += ["--locale=C", "-E", "UTF8"]  # text in the order of its bytes, as Havok's keys
    group = None if user is None else pwd.getpwnam(user).pw_gid
    try:
        done = subprocess.run(
            argv, cwd=home, capture_output=True, text=True, timeout=_INITDB_S_MAX, check=False,
            user=user, group=group, extra_groups=None if user is None else (),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StartFailed(f"initdb took more than {_INITDB_S_MAX:.0f} s") from None
    if done.returncode != 0:
        raise StartFailed(f"initdb said: {' '.join(done.stderr.split())[-300:]}")
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    argv = [_program("postgres") or "postgres", "-D", str(data), "-k", str(home), *settings]
    server = Server(argv, core, home / "log", user=user)
    server.wait_until(lambda: any(home.glob(".s.PGSQL.*[0-9]")) and b"ready to accept" in (home / "log").read_bytes())
    return server


def _write_tables(directory: Path) -> list[str]:
    """A CSV file per dataset, in the order of its key → the paths."""
    paths = []
    with duckdb.connect() as db:
        for name in DATASETS:
            found = datasets()[name]
            paths.append(str(directory / f"{name}.csv"))
            db.execute(f"COPY (FROM '{found.source}' ORDER BY {', '.join(found.key)}) TO '{paths[-1]}'")
    return paths
