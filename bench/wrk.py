"""Loads a port with wrk and reads what it found.

Rule: requests are built before the run, whole, for `wrk.format` would drop headers. One
request repeated costs wrk nothing; many are a table lookup in Lua, which is the slower
client, so a report says which was used and how busy wrk was. wrk is a closed loop: its
percentiles say what 32 callers that wait for their answer see at full load, not what an
arrival rate would.
"""

import json
import math
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.cpu import pinned
from bench.workload import Request

CONNECTIONS = 32
_HANG_S = 20.0  # past the agreed end: wrk drains what is in flight, then reports

_MANY = """
local requests = {REQUESTS}
local at = 0
function request()
  at = at + 1
  if at > #requests then at = 1 end
  return requests[at]
end
"""
_ONE = """
local requests = {REQUESTS}
function init(args)
  wrk.format = function() return requests[1] end
end
"""
_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Observed(msgspec.Struct, frozen=True):
    """One round as the client saw it; `client_busy` is its share of a core."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    failed: int
    client_busy: float


class _Printed(msgspec.Struct, frozen=True):
    requests: int
    microseconds: int
    p50_us: float
    p99_us: float
    failed: int


class ClientFailed(Exception):
    """The client, not the server, could not run; the text says why."""


def wrk_missing() -> str | None:
    return None if shutil.which("wrk") else "wrk is not installed (Debian: apt-get install wrk)"


def _script(port: int, requests: Sequence[Request], many: bool) -> str:
    table = ",\n".join(json.dumps(request.raw(port).decode(), ensure_ascii=False) for request in requests)
    return (_MANY if many else _ONE).replace("{REQUESTS}", "{" + table + "}") + _DONE


def wrk_drive(
    port: int, requests: Sequence[Request], *, many: bool, core: int, script: Path
) -> Callable[[float], Observed]:
    """→ a function that loads the port for so many seconds; `script` is where its Lua is written."""
    script.write_text(_script(port, requests if many else requests[:1], many))

    def drive(seconds: float) -> Observed:
        argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s"]
        before = children_cpu_seconds()
        started = time.monotonic()
        with pinned(core):
            process = subprocess.Popen(
                [*argv, "-s", str(script), f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True
            )
        output = _finish(process, seconds)
        elapsed = time.monotonic() - started
        try:
            found = msgspec.json.decode(output.strip().rpartition("\n")[2], type=_Printed)
        except msgspec.DecodeError:
            raise ClientFailed(f"wrk said: {' '.join(output.split())[-200:]}") from None
        return Observed(
            requests=found.requests,
            seconds=found.microseconds / 1e6,
            p50_us=found.p50_us,
            p99_us=found.p99_us,
            failed=found.failed,
            client_busy=(children_cpu_seconds() - before) / elapsed,
        )

    return drive


def _finish(process: subprocess.Popen[str], seconds: float) -> str:
    """wrk counts whole seconds; SIGINT ends a run earlier and it still reports."""
    try:
        if seconds != int(seconds):
            try:
                return process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
        return process.communicate(timeout=math.ceil(seconds) + _HANG_S)[0]
    except subprocess.TimeoutExpired:
        raise ClientFailed("wrk did not end") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def children_cpu_seconds() -> float:
    """CPU of every child that has ended and been waited for: a client's, once it is done."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
