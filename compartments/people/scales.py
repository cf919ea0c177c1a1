"""How many workers a compartment has and where its watermarks are, as people set them at run time.

Rule: a scale is laid over the configuration's settings and outlives restarts, until it is
taken back. What cannot be is refused, naming both sides.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from compartments.people.database import ControlDatabase
from havok.errors import NodeError
from havok.messages import ScaleRequest
from havok.settings import CompartmentSettings, Settings, Watermarks, WorkerCount
from havok.typed import nearest

WORKERS_MAX = 1024  # of one compartment; more are a typing error


class Scale(msgspec.Struct, frozen=True, omit_defaults=True):
    """None: as configured."""

    workers: int | None = None
    low: float | None = None
    high: float | None = None


def scaled(settings: Settings, scales: Mapping[str, Scale]) -> Settings:
    """The settings with the scales laid over; those of compartments that are gone change nothing."""
    compartments = {
        name: _scaled(compartment, scales[name]) if name in scales else compartment
        for name, compartment in settings.compartments.items()
    }
    return msgspec.structs.replace(settings, compartments=compartments)


def _scaled(compartment: CompartmentSettings, scale: Scale) -> CompartmentSettings:
    count, marks = compartment.workers, compartment.watermarks
    changes: dict[str, Any] = {}
    if scale.workers is not None:
        changes["workers"] = WorkerCount(scale.workers, max(scale.workers, count.max))
    low = marks.low if scale.low is None else scale.low
    high = marks.high if scale.high is None else scale.high
    if low < high:  # else the file was changed since, and the scale has no sense any more
        changes["watermarks"] = Watermarks(low, high)
    return msgspec.structs.replace(compartment, **changes)


def wanted(settings: Settings, scales: Mapping[str, Scale], request: ScaleRequest) -> Scale:
    """What a compartment's scale is to be. Raises NodeError."""
    compartment = settings.compartments.get(request.compartment)
    if compartment is None:
        meant = nearest(request.compartment, settings.compartments)
        known = f"did you mean {meant}?" if meant else f"there are: {', '.join(settings.compartments)}"
        raise NodeError(f"there is no compartment {request.compartment!r}; {known}")
    if request.reset:
        if (request.workers, request.low, request.high) != (None, None, None):
            raise NodeError("--reset takes back what was set; set what you want after it")
        return Scale()
    before = scales.get(request.compartment, Scale())
    scale = Scale(
        workers=before.workers if request.workers is None else request.workers,
        low=before.low if request.low is None else request.low,
        high=before.high if request.high is None else request.high,
    )
    if scale.workers is not None and not 1 <= scale.workers <= WORKERS_MAX:
        raise NodeError(f"workers must be 1 to {WORKERS_MAX}, not {scale.workers}")
    low = compartment.watermarks.low if scale.low is None else scale.low
    high = compartment.watermarks.high if scale.high is None else scale.high
    if not 0 < low < high <= 1:
        raise NodeError(
            f"the low mark must be below the high one, both above 0 and at most 1; they would be {low:g} and {high:g}"
        )
    return scale


class StoredScales:
    def __init__(self, database: ControlDatabase) -> None:
        self._database = database

    def read(self) -> dict[str, Scale]:
        """By compartment. Raises NodeError."""
        with self._database.transaction() as database:
            rows = database.execute("SELECT compartment, scale FROM scales").fetchall()
        return {name: msgspec.json.decode(document, type=Scale) for name, document in rows}

    def write(self, compartment: str, scale: Scale) -> None:
        """One that says nothing is forgotten. Raises NodeError."""
        with self._database.transaction() as database:
            if scale == Scale():
                database.execute("DELETE FROM scales WHERE compartment = ?", (compartment,))
            else:
                database.execute(
                    "INSERT OR REPLACE INTO scales VALUES (?, ?)", (compartment, msgspec.json.encode(scale))
                )
