"""What the figures were measured on: they mean nothing without it."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from bench.cpu import Cores

_PACKAGES = (
    "uvloop",
    "httptools",
    "lmdb",
    "duckdb",
    "aiohttp",
    "fastapi",
    "uvicorn",
    "redis",
    "roapi",
    "asyncpg",
    "orjson",
)
_PROGRAMS = {
    "wrk": ["wrk", "-v"],
    "nginx": ["nginx", "-v"],
    "redis-server": ["redis-server", "--version"],
    "psql": ["psql", "--version"],
}
_BUSY_LOAD = 0.5


class Machine(msgspec.Struct, frozen=True):
    cpu: str
    cores: int
    kernel: str
    python: str
    server_core: int
    client_core: int
    load_before: float  # 1-minute load average when the benchmark began
    versions: dict[str, str]

    @property
    def remarks(self) -> list[str]:
        found = []
        if self.server_core == self.client_core:
            found.append("one core only: server and client share it, so requests/s and percentiles say little")
        if self.load_before > _BUSY_LOAD:
            found.append(f"the machine was busy (load {self.load_before:.1f}) when this began")
        return found


def look(cores: Cores) -> Machine:
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        server_core=cores.server,
        client_core=cores.client,
        load_before=os.getloadavg()[0],
        versions={**_package_versions(), **_program_versions()},
    )


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _package_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _program_versions() -> dict[str, str]:
    found = {}
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"
    for name, argv in _PROGRAMS.items():
        if program := shutil.which(argv[0], path=path):
            done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=10, check=False)
            if number := re.search(r"\d+(\.\d+)+", done.stdout + done.stderr):
                found[name] = number.group()
    return found
