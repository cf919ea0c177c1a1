"""Redis: as a peer of its own (GET), and as the store behind a framework.

As a peer it is loaded by its own redis-benchmark, which speaks RESP: a cheaper protocol
than HTTP and a different client, so the row is a landmark rather than a like for like.
"""

import csv
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from bench.cpu import pinned
from bench.peer import Drive, Place, Running
from bench.process import Server, StartFailed, free_port
from bench.wrk import CONNECTIONS, ClientFailed, Observed, children_cpu_seconds

_HANG_S = 60.0
_PROBE_REQUESTS = 20_000
_KEY_DIGITS = 12  # redis-benchmark writes __rand_int__ so


def redis_missing() -> str | None:
    return None if shutil.which("redis-server") else "redis-server is not installed (Debian: apt-get install redis)"


def start_redis(directory: Path, core: int) -> tuple[Server, int]:
    """An empty Redis that keeps nothing on disk → (server, port)."""
    port = free_port()
    argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    server = Server([*argv, "--dir", str(directory)], core, directory / "redis.log")
    server.wait_until(lambda: _send(port, [("PING",)]) == b"+PONG\r\n")
    return server, port


def store(port: int, rows: Iterable[tuple[str, bytes]]) -> None:
    """SETs every key. Raises StartFailed when Redis refuses one."""
    commands = [("SET", key, value) for key, value in rows]
    if _send(port, commands) != b"+OK\r\n" * len(commands):
        raise StartFailed("Redis refused a SET")


def _send(port: int, commands: Sequence[tuple[str | bytes, ...]]) -> bytes:
    """RESP commands in one pipeline → the raw replies, each of one line; empty while nothing listens."""
    parts = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument.encode() if isinstance(argument, str) else argument
            parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as connection:
            connection.sendall(b"".join(parts))
            replies = b""
            while replies.count(b"\r\n") < len(commands) and (more := connection.recv(65536)):
                replies += more
            return replies
    except OSError:
        return b""


def _benchmark(port: int, key: str, keys: int, core: int) -> Callable[[float], Observed]:
    """redis-benchmark counts requests, not seconds: a short run finds the rate."""

    def run(requests: int) -> Observed:
        argv = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-c", str(CONNECTIONS), "--csv"]
        before = children_cpu_seconds()
        with pinned(core):
            process = subprocess.run(
                [*argv, "-n", str(requests), "-r", str(keys), "GET", key],
                capture_output=True,
                text=True,
                timeout=_HANG_S,
                check=False,
            )
        lines = [line for line in process.stdout.splitlines() if line.startswith('"')]
        if process.returncode != 0 or len(lines) != 2:
            raise ClientFailed(f"redis-benchmark said: {' '.join((process.stdout + process.stderr).split())[-200:]}")
        names, values = csv.reader(lines)
        found = dict(zip(names, values, strict=True))
        seconds = requests / float(found["rps"])
        return Observed(
            requests=requests,
            seconds=seconds,
            p50_us=float(found["p50_latency_ms"]) * 1e3,
            p99_us=float(found["p99_latency_ms"]) * 1e3,
            failed=0,
            client_busy=(children_cpu_seconds() - before) / seconds,
        )

    rate = 0.0

    def drive(seconds: float) -> Observed:
        nonlocal rate
        if not rate:
            probe = run(_PROBE_REQUESTS)
            rate = probe.requests / probe.seconds
        observed = run(max(1, round(rate * seconds)))
        rate = observed.requests / observed.seconds
        return observed

    return drive


class RedisGet:
    name = "Redis GET"

    def unavailable(self) -> str | None:
        if missing := redis_missing():
            return missing
        return None if shutil.which("redis-benchmark") else "redis-benchmark is not installed (Debian: redis-tools)"

    def start(self, place: Place) -> Running:
        server, port = start_redis(place.directory, place.cores.server)
        rows = list(place.workload.airports.values())
        try:
            store(port, ((f"airport:{number:0{_KEY_DIGITS}}", row) for number, row in enumerate(rows)))
        except BaseException:
            server.stop()
            raise
        key, keys = ("airport:__rand_int__", len(rows)) if place.many_keys else (f"airport:{0:0{_KEY_DIGITS}}", 1)
        run = _benchmark(port, key, keys, place.cores.client)
        return Running(
            pids=lambda: [server.pid],
            drives=(Drive(self.name, "redis-benchmark", run, note="RESP, not HTTP"),),
            stop=server.stop,
        )
