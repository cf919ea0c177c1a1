"""The admin plane: health, status and metrics over HTTP, on `node.admin`.

Rule: everything but `/healthz` takes the token of `data_dir/admin.token`. What it shows is
the supervisor's status document; nothing is kept here.
"""

import asyncio
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from console import metrics
from havok.addresses import address
from havok.errors import NodeError, Problem
from havok.messages import ScaleRequest

AUDIT_LIMIT, AUDIT_LIMIT_MAX = 100, 10_000  # entries of one answer
TOKEN_FILE = "admin.token"
_TOKEN_BYTES = 32
_OPEN_PATHS = frozenset({"/healthz"})  # load balancers ask it, and it tells nothing else
_BODY_BYTES_MAX = 64 * 1024
_WHAT_IS_HERE = (
    "here are /healthz, /api/status, /api/audit, /api/compartments/NAME/scale (POST) and /metrics; "
    "services are on the data plane, node.listen"
)
_PROBLEM_JSON = "application/problem+json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `havok scale` takes, as a JSON object. None: as it is."""

    workers: int | None = None
    low: float | None = None
    high: float | None = None
    reset: bool = False


class Admin:
    """Runs in the supervisor's loop, on a socket that listens already.

    `status()` is the document of `havok status --json`; `audit(count)` are the newest entries of the audit log;
    `scale(request)` is `havok scale`: what holds then.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        audit: Callable[[int], Sequence[Any]],
        scale: Callable[[ScaleRequest], Awaitable[dict[str, Any]]],
        data_dir: Path,
        where: str,
    ) -> None:
        self._status = status
        self._audit = audit
        self._scale = scale
        self._token = read_or_make_token(data_dir)
        self._host = address(where)[0]
        app = web.Application(middlewares=[self._guard], client_max_size=_BODY_BYTES_MAX)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/api/status", self._api_status)
        app.router.add_get("/api/audit", self._api_audit)
        app.router.add_post("/api/compartments/{name}/scale", self._api_scale)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def start(self, listener: socket.socket) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    # -- guards ----------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_host(request.host, self._host):
            detail = f"this node is not {request.host[:80]!r}; use its address, or localhost"
            return _problem(HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", detail)
        if request.path not in _OPEN_PATHS and not self._knows(request.headers.get("Authorization", "")):
            detail = f"send the header Authorization: Bearer with the token in {TOKEN_FILE} of the data directory"
            return _problem(HTTPStatus.UNAUTHORIZED, "unauthenticated", detail, {"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except web.HTTPException as error:
            detail = _WHAT_IS_HERE if error.status == HTTPStatus.NOT_FOUND else ""
            return _problem(
                HTTPStatus(error.status), error.reason.lower().replace(" ", "_"), detail, dict(error.headers)
            )

    def _knows(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            token.strip().encode(errors="surrogateescape"), self._token.encode()
        )

    # -- answers ---------------------------------------------------------------------

    async def _healthz(self, _: web.Request) -> web.Response:
        if can_serve(self._status()):
            return web.Response(body=b'{"status":"ok"}', content_type="application/json")
        detail = "no worker takes requests now"
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", detail, {"Retry-After": "1"})

    async def _api_status(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")

    async def _api_audit(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", str(AUDIT_LIMIT))
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit) <= AUDIT_LIMIT_MAX:
            detail = f"limit must be a number from 1 to {AUDIT_LIMIT_MAX}"
            return _problem(HTTPStatus.BAD_REQUEST, "bad_param", detail)
        try:
            entries = await asyncio.to_thread(self._audit, int(limit))
        except NodeError as error:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "store_down", error.detail)
        return web.Response(body=msgspec.json.encode({"data": entries}), content_type="application/json")

    async def _api_scale(self, request: web.Request) -> web.Response:
        """What is not sent stays as it is; an empty object only asks."""
        try:
            asked = msgspec.json.decode(await request.read(), type=Scaling)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f'send a JSON object like {{"workers": 2, "low": 0.3, "high": 0.8}} or {{"reset": true}}: {error}'
            return _problem(HTTPStatus.BAD_REQUEST, "bad_request", detail[:500])
        wanted = ScaleRequest(request.match_info["name"], asked.workers, asked.low, asked.high, asked.reset)
        try:
            holds = await self._scale(wanted)
        except NodeError as error:
            if wanted.compartment not in self._status()["compartments"]:
                return _problem(HTTPStatus.NOT_FOUND, "not_found", error.detail)
            return _problem(HTTPStatus.CONFLICT, "refused", error.detail)
        return web.Response(body=msgspec.json.encode(holds), content_type="application/json")

    async def _metrics(self, _: web.Request) -> web.Response:
        text = metrics.exposition(self._status())
        return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})


def can_serve(status: dict[str, Any]) -> bool:
    """Someone accepts and someone answers."""
    workers = [worker for found in status["compartments"].values() for worker in found["workers"]]
    return bool(status["gate"]["pids"]) and any(worker["state"] == "ready" for worker in workers)


def is_own_host(given: str, bound: str) -> bool:
    """Whether a Host header may be meant for us: the guard against DNS rebinding.

    A page in someone's browser can make a name of its own resolve to the loopback address;
    it cannot make the browser send another Host. Beyond loopback any name may be ours.
    """
    try:
        host = address(given if given.rpartition(":")[2].isdigit() else f"{given}:0")[0].lower()
    except ValueError:
        return False
    if host in ("localhost", bound.lower()) or not _is_loopback(bound):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_or_make_token(data_dir: Path) -> str:
    """The node's token, made once, readable by its user alone. Raises NodeError when it cannot be had."""
    path = data_dir / TOKEN_FILE
    try:
        token = path.read_text().strip()
        if token:
            return token
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise NodeError(f"{path} cannot be read: {error}") from None
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    temporary.rename(path)
    return token


def _problem(status: HTTPStatus, code: str, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    found = Problem(type=f"/problems/{code}", title=status.phrase, status=status, code=code, detail=detail)
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in ("content-type",)}
    return web.Response(status=status, body=msgspec.json.encode(found), content_type=_PROBLEM_JSON, headers=kept)
