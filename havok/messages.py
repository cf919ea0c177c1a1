"""What travels on a node's bus, and between its commands and its supervisor.

Rule: msgpack of tagged frozen structs; every message is one frame. Facts are replicated as
entries (key → msgpack): `Bulletin` changes some of them, all at once; `State` is all of
them. Numbers grow by one from `State.seq`; a hole means a lost message and a `Resync`.
"""

import os
from typing import Annotated, Literal

import msgspec

from havok.errors import Fault

PROTOCOL = 2  # of bus and channels; grows when processes of before and after a change would misunderstand each other


class Bulletin(msgspec.Struct, frozen=True, tag=True):
    """One change of the facts. `epoch` grows with each supervisor, `seq` with each change."""

    epoch: int
    seq: int
    set: dict[str, bytes]
    drop: tuple[str, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The newest number, so that a lost last bulletin is noticed too."""

    epoch: int
    seq: int


Broadcast = Bulletin | Heartbeat


class State(msgspec.Struct, frozen=True, tag=True):
    """All facts as of `seq`: the answer to a Resync."""

    epoch: int
    seq: int
    entries: dict[str, bytes]


class Resync(msgspec.Struct, frozen=True, tag=True):
    """A follower asks for a State; it joined late or saw a hole."""

    process: str


class ExecutorGauge(msgspec.Struct, frozen=True):
    """A place for an executor process; `pid` 0 while there is none."""

    pid: int
    state: Literal["starting", "idle", "busy", "resting"]  # resting: it died, and starts again after a back-off
    service: str = ""  # whose query it runs
    seconds: float = 0.0  # for as long


class Report(msgspec.Struct, frozen=True, tag=True):
    """What a worker or gate says every 100 ms and after each change: acks and gauges."""

    process: str
    pid: int
    epoch: int
    seq: int  # newest change acted on
    ready: bool = False  # everything it is asked to serve is served
    draining: bool = False
    serving: dict[str, dict[str, str]] = {}  # service → dataset → version
    staged: tuple[str, ...] = ()  # ids of staged changes that can be flipped to at once
    faults: dict[str, str] = {}  # `dataset@version` (damage), service, stage id, … → reason
    connections: int = 0
    requests: int = 0
    errors: dict[str, int] = {}
    shed: dict[str, int] = {}  # service → requests refused because it was over its share
    handed_over: int = 0  # connections
    forwarded: int = 0  # requests to other compartments, their connections staying here
    refused: dict[str, int] = {}  # compartment → connections, over its limit; a gate's
    busy: float = 0.0  # CPU seconds of its loop per second
    delay_us: float = 0.0  # how long something that is ready waits for its turn
    rss_mb: float = 0.0
    faults_major: int = 0  # pages that were read from disk
    costs: dict[str, float] = {}  # of the most costly services: service → its share of the loop
    executors: tuple[ExecutorGauge, ...] = ()
    queries: dict[str, int] = {}  # analytical ones: how many wait, and what became of the others


class StatusRequest(msgspec.Struct, frozen=True, tag=True):
    """Reply data: the document of `havok status --json`."""


class AcceptRequest(msgspec.Struct, frozen=True, tag=True):
    """Would every live plan compile on this manifest (JSON)?

    Reply data: the services that are not served now and would not be then, with the reason.
    """

    manifest: bytes


class StageRequest(msgspec.Struct, frozen=True, tag=True):
    """Workers open, verify and warm a placed version aside. Reply data: workers.

    What is staged is dropped when the process that asked, the load, ends without activating it.
    """

    dataset: str
    version: str
    pid: Annotated[int, msgspec.Meta(gt=0, le=4_194_304)] = msgspec.field(default_factory=os.getpid)  # le: Linux's most


class ActivateRequest(msgspec.Struct, frozen=True, tag=True):
    """The pointer of a dataset was moved: flip to it. Reply data: workers and ms."""

    dataset: str


class UnstageRequest(msgspec.Struct, frozen=True, tag=True):
    """Forget a staged version."""

    dataset: str


class ReloadRequest(msgspec.Struct, frozen=True, tag=True):
    """Read the configuration again, as SIGHUP does."""


class RestartRequest(msgspec.Struct, frozen=True, tag=True):
    """Workers and gate are replaced, one after another. Reply data: how many processes."""


class UpgradeRequest(msgspec.Struct, frozen=True, tag=True):
    """The supervisor becomes what is installed now, then replaces workers and gate. Reply data: `code`, to wait for."""


class ScaleRequest(msgspec.Struct, frozen=True, tag=True):
    """A compartment's number of workers and its watermarks; None: as they are. `reset`: all as configured.

    Reply data: what holds now.
    """

    compartment: str
    workers: int | None = None
    low: float | None = None
    high: float | None = None
    reset: bool = False


class AddServiceRequest(msgspec.Struct, frozen=True, tag=True):
    """`document`: TOML with [services.NAME] tables, kept durably beside the file's. `file`: where a person has it.

    Reply data: `services`, and of those that wait for data the datasets they wait for.
    """

    document: str
    file: str = "(services to add)"


class RemoveServiceRequest(msgspec.Struct, frozen=True, tag=True):
    name: str


Request = (
    StatusRequest
    | AcceptRequest
    | StageRequest
    | ActivateRequest
    | UnstageRequest
    | ReloadRequest
    | RestartRequest
    | UpgradeRequest
    | ScaleRequest
    | AddServiceRequest
    | RemoveServiceRequest
)
Inbound = Resync | Report | Request


class Reply(msgspec.Struct, frozen=True, tag=True):
    """Answer to a Request. `error` is a sentence for a person, `faults` the same one by one; `data` is msgpack."""

    error: str | None = None
    data: bytes = b""
    faults: tuple[Fault, ...] = ()


class Give(msgspec.Struct, frozen=True, tag=True):
    """To one worker: `count` connections that are between two requests go to the inbox `to`. May be lost."""

    to: str
    count: int


class Leave(msgspec.Struct, frozen=True, tag=True):
    """To one process that nobody watches over: it is to drain and end. Said again for as long as it reports."""


Outbound = State | Reply | Give | Leave
Order = Give | Leave

encode = msgspec.msgpack.Encoder().encode
decode_broadcast = msgspec.msgpack.Decoder(Broadcast).decode
decode_inbound = msgspec.msgpack.Decoder(Inbound).decode
decode_outbound = msgspec.msgpack.Decoder(Outbound).decode
