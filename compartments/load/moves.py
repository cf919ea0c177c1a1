"""What rebalancing reads, what it orders, and what it remembers.

Rule: structs only. A `Node` is taken anew at each tick, moves are performed in their order
and before the next tick, `Memory` goes in and comes out. Times are ns of a monotonic clock.
"""

import msgspec

from compartments.load.watermarks import Smoothed, Standing
from havok.settings import Priority, Watermarks


class Worker(msgspec.Struct, frozen=True, gc=False):
    """A worker that is not on its way out. `ready`: it serves, and was heard of lately."""

    name: str
    ready: bool = True
    busy: float = 0.0  # CPU seconds of its loop per second
    delay_us: float = 0.0
    connections: int = 0


class Compartment(msgspec.Struct, frozen=True):
    """`wanted`: how many workers it is to have now; more than `workers` while one is being restarted."""

    name: str
    priority: Priority
    min: int
    max: int
    marks: Watermarks
    wanted: int
    workers: tuple[Worker, ...]


class Node(msgspec.Struct, frozen=True):
    """`slots`: how many workers all compartments may have together; their `min` are there in any case."""

    slots: int
    compartments: tuple[Compartment, ...]


class MoveConnections(msgspec.Struct, frozen=True, tag=True):
    """`count` connections of one worker go to another of the same compartment."""

    compartment: str
    source: str
    target: str
    count: int
    reason: str


class AddWorker(msgspec.Struct, frozen=True, tag=True):
    """One more is wanted. `lender`: whose slot it gets, given up by a RemoveWorker before this."""

    compartment: str
    reason: str
    lender: str | None = None


class RemoveWorker(msgspec.Struct, frozen=True, tag=True):
    """One less is wanted. `worker` None: the one that is not there now, which then has no successor."""

    compartment: str
    worker: str | None
    reason: str
    gives_back_to: str | None = None  # who had lent the slot


class Pressure(msgspec.Struct, frozen=True, tag=True):
    """There is nothing left to move: the compartment degrades from here on."""

    compartment: str
    reason: str


class Relief(msgspec.Struct, frozen=True, tag=True):
    """The end of a Pressure."""

    compartment: str
    reason: str


Move = MoveConnections | AddWorker | RemoveWorker | Pressure | Relief


class Loan(msgspec.Struct, frozen=True):
    """A slot that `borrower` has of `lender`, who is of the same or a lower priority."""

    lender: str
    borrower: str
    since_ns: int


class Known(msgspec.Struct, frozen=True):
    """What is remembered of a compartment. Nothing has happened yet where a time is None."""

    wanted: int
    unsettled_ns: int  # when its workers last changed, or one was not ready
    standing: Standing | None = None  # None until a worker was ready
    loads: dict[str, Smoothed] = {}  # by worker
    grown_ns: int | None = None
    uneven_ns: int | None = None  # since when connections should move
    moved_ns: int | None = None  # when they last did
    spreads: int = 0  # how often lately; each makes the next wait longer
    pressed_ns: int | None = None  # under Pressure since then


class Memory(msgspec.Struct, frozen=True):
    known: dict[str, Known] = {}
    loans: tuple[Loan, ...] = ()
    starts_ns: tuple[int, ...] = ()  # of workers added within the last second
