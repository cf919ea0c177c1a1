"""What `havok serve` says when it serves: a line to try for each service.

Rule: only what works is offered. A service whose data is being loaded is named, and its line
follows once the data is there; one that waits for a person says so. The sample key is a row
of the live version that the service's own rules accept.
"""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import lmdb
import msgspec

from compartments.supervisor import Supervisor
from console import terminal
from engine.params import Binder
from engine.plan import Analysis, Plan, Point
from engine.queries.expression import Argument
from havok.errors import DamagedVersion, RequestError
from havok.keys import HASHED_BYTES
from havok.layout import version_dir
from havok.manifest import ROWS_DB, ROWS_FILE
from havok.rows import unseal

LOOK_S_MIN, LOOK_S_MAX = 0.1, 1.0  # how often services that load are looked at
_ROWS_TRIED = 50  # for one that meets a service's rules

_decode_row = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Greeting:
    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._said: dict[str, str] = {}  # service → what its last line was about
        self._width = max((len(name) for name in supervisor.settings.services), default=0)

    def head(self, took_s: float) -> None:
        node = self._supervisor.settings.node
        terminal.say(f"havok {node.name}: ready in {took_s:.1f} s, serving on http://{node.listen}")
        terminal.say(f"status: havok status · health and metrics: http://{node.admin}")

    async def follow(self) -> None:
        """A line for each service, then another when it has got its data; ends when all are told."""
        wait_s = LOOK_S_MIN
        while await self._look():
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, LOOK_S_MAX)

    async def _look(self) -> bool:
        """Says what is new; whether something is still to come by itself."""
        services = self._supervisor.status()["services"]
        more = False
        for name, found in services.items():
            news, is_to_come = self._waits(found) if found["state"] == "no_version" else (found["state"], False)
            if self._said.get(name) != news:
                self._said[name] = news
                await self._say(name, found, news)
            more |= is_to_come or found["state"] == "starting"
        return more

    async def _say(self, name: str, found: dict[str, Any], news: str) -> None:
        if found["state"] == "live":
            self._line(name, await asyncio.to_thread(self._curl, name))
        elif found["state"] == "faulty":
            self._line(name, terminal.paint(found["reason"], "red"))
        elif found["state"] == "no_version":
            self._line(name, terminal.paint(news, "dim"))

    def _waits(self, found: dict[str, Any]) -> tuple[str, bool]:
        """What a service without data waits for, and whether it comes by itself."""
        loads, live = self._supervisor.first_loads, self._supervisor.rollout.live
        settings = self._supervisor.settings.datasets
        missing = [name for name in found["datasets"] if name in settings and name not in live]
        if missing and all(map(loads.awaits, missing)):
            return f"loading {' and '.join(missing)} …", True
        stuck = next((name for name in missing if not loads.awaits(name)), None)
        if stuck is None:
            return str(found["reason"]), False
        if stuck in loads.failed:
            return f"{stuck} could not be loaded; mend it and run: havok load {stuck}", False
        if settings[stuck].source is None:
            return f"waits for its data: havok load {stuck} FILE", False
        return str(found["reason"]), False

    def _line(self, name: str, text: str) -> None:
        terminal.say(f"  {name:<{self._width}}  {text}")

    def _curl(self, name: str) -> str:
        item = self._supervisor.rollout.wanted()[name]
        query = "key=…"
        if item.plan is not None:
            directory = version_dir(self._supervisor.data_dir, *item.versions[0])
            missing = [param.name for param in item.plan.params if param.default is None]
            query = sample_query(item.plan, directory) or "&".join(f"{name}=…" for name in missing)
        return f"curl 'http://{self._supervisor.settings.node.listen}/v1/{name}?{query}'"


def sample_query(plan: Plan, directory: Path) -> str | None:
    """The query string of one of the version's first rows; None when none of them fits the plan's rules."""
    binder = Binder(plan.params)
    sampled = sampled_columns(plan)
    try:
        for body in _first_rows(directory / ROWS_FILE):
            row = _decode_row(body)
            query = urlencode([(param, _text(row[column])) for param, column in sampled.items()])
            try:
                binder.from_query(query.encode())
            except RequestError:
                continue
            return query
    except (lmdb.Error, OSError, DamagedVersion, msgspec.DecodeError, KeyError):
        return None  # a sample is a courtesy; what is wrong is said elsewhere
    return None


def sampled_columns(plan: Plan) -> dict[str, str]:
    """Parameter → the column whose values it may have, where a parameter is sought in one."""
    if isinstance(plan.access, Point):
        return {param.name: param.name for param in plan.params}
    needed = {param.name: param.name for param in plan.params if param.default is None}
    if isinstance(plan.access, Analysis):
        return needed
    seek = plan.access.query.seek
    return needed | {
        value.name: column.name
        for column, values in zip(seek.columns, seek.equals, strict=False)
        for value in values
        if isinstance(value, Argument)
    }


def _first_rows(path: Path) -> list[bytes]:
    found: list[bytes] = []
    with (
        lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False, max_dbs=1) as environment,
        environment.begin(db=environment.open_db(ROWS_DB, create=False)) as transaction,
    ):
        for key, value in transaction.cursor():
            body = unseal(key, value) if len(key) < HASHED_BYTES else None
            if body is not None:
                found.append(body)
            if len(found) == _ROWS_TRIED:
                break
    return found


def _text(raw: msgspec.Raw) -> str:
    """A JSON value as a query string has it: numbers digit for digit."""
    text = bytes(raw).decode()
    return msgspec.json.decode(raw, type=str) if text.startswith('"') else text
