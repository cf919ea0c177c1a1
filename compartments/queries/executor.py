"""An executor: runs a worker's analytical queries on DuckDB, one at a time.

Rule: its worker owns it. It is asked over stdin and answers over stdout, and ends with its
worker, whose end closes stdin, even in the middle of a query; SIGTERM ends it at once, for it
holds nothing that could be lost. Two threads: one runs queries and renders, one listens, and
interrupts what is cancelled or over its time. It knows no bus and no socket.
"""

import contextlib
import logging
import os
import queue
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import msgspec

from compartments.processes.process import PoolSettings
from compartments.queries import frames
from engine.analysis.reports import out_of_memory
from engine.analysis.twins import Twins
from engine.forms.answer import Answer
from engine.forms.rendering import Renderings
from havok.errors import HavokError, Internal, QueryFailed, QueryTimeout

log = logging.getLogger(__name__)

NICE = 5  # above its worker's: a lookup beside it goes first
BESIDE_MB = 384  # Python, DuckDB's own code and threads, a chunk of rows; measured 150, and malloc's arenas beside
INTERRUPT_AGAIN_S = 0.05  # an interrupt between two parts of a query is forgotten
READ_BYTES = 64 * 1024


class Executor:
    def __init__(self, settings: PoolSettings, requests_fd: int, answers_fd: int) -> None:
        self._settings = settings
        self._requests_fd = requests_fd
        self._answers_fd = answers_fd
        self._twins = Twins(Path(settings.data_dir), settings.memory_mb, settings.threads)
        self._headroom = Headroom(settings.memory_mb)
        self._asked: queue.SimpleQueue[frames.Ask] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running: int | None = None
        self._deadline_s = 0.0  # moves on while the worker does not read
        self._writing_since_s: float | None = None
        self._cancelled = False

    def run(self) -> None:
        """Until the worker is gone; never returns."""
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        self._send(frames.Ready(os.getpid()))
        while True:
            end = self._answer(self._asked.get())
            if self._twins.broken:
                self._send(msgspec.structs.replace(end, final=True))
                os._exit(0)
            self._send(end)

    # -- the thread that runs queries ----------------------------------------------------

    def _answer(self, ask: frames.Ask) -> frames.End:
        try:
            for piece in self._body(ask):
                for start in range(0, len(piece), frames.PIECE_BYTES):
                    self._check()
                    self._pass(frames.Piece(piece[start : start + frames.PIECE_BYTES]))
            return frames.End(ask.number)
        except QueryTimeout:
            return frames.End(ask.number, QueryTimeout.code, frames.too_long(self._settings.timeout_s))
        except MemoryError:  # of rendering
            error = out_of_memory(self._settings.memory_mb)
            return frames.End(ask.number, error.code, error.detail)
        except HavokError as error:
            seen = error.seen if isinstance(error, QueryFailed) else ""
            return frames.End(ask.number, error.code, error.detail, error.retry_after_s, seen=seen)
        except Exception:
            log.exception("a query failed in a way nobody thought of")
            return frames.End(ask.number, Internal.code, "the query engine failed")
        finally:
            with self._lock:
                self._running = None

    def _body(self, ask: frames.Ask) -> Iterator[bytes]:
        answer = Answer(ask.analytical.columns)
        rendering = Renderings(answer).begin(ask.media, meta=ask.meta)
        self._check()
        chunks = self._twins.run(ask.analytical, ask.versions, ask.values)
        first = next(chunks, None)  # what fails, fails most often before the first row: then no byte is out
        yield rendering.start()
        if first is not None:
            with self._headroom:
                piece = rendering.rows([answer.row(*row) for row in first])
            yield piece
            for chunk in chunks:
                self._check()
                with self._headroom:
                    piece = rendering.rows([answer.row(*row) for row in chunk])
                yield piece
        yield rendering.end(None)

    def _check(self) -> None:
        """Between chunks, where an interrupt would find nothing that runs. Raises QueryTimeout."""
        with self._lock:
            if self._cancelled or monotonic() > self._deadline_s:
                raise QueryTimeout

    def _pass(self, piece: frames.Piece) -> None:
        """Waits while the worker does not read: that is what slows a query down for a slow caller.

        It is not the query's time: its deadline moves on by as much. How long the caller may take, the worker decides.
        """
        with self._lock:
            began_s = self._writing_since_s = monotonic()
        self._send(piece)
        with self._lock:
            self._writing_since_s = None
            self._deadline_s += monotonic() - began_s

    def _send(self, value: frames.Up) -> None:
        """As soon as the worker reads. After an end the deadline may be the next query's already."""
        left = memoryview(frames.frame(value))
        while left:
            left = left[os.write(self._answers_fd, left) :]

    # -- the thread that listens ----------------------------------------------------------

    def _listen(self) -> None:
        try:
            received = bytearray()
            while self._wait():
                data = os.read(self._requests_fd, READ_BYTES)
                if not data:
                    break
                received += data
                self._take(received)
        except BaseException:
            log.exception("an executor ends: what its worker said cannot be read")
        finally:
            os._exit(0)  # the worker is gone; so is whoever wanted the answer

    def _wait(self) -> bool:
        """Until there is something to read; meanwhile it ends what is over its time."""
        while True:
            wait_s = None
            with self._lock:
                if self._running is not None:
                    wait_s = self._deadline_s - (self._writing_since_s or monotonic())
                    if wait_s <= 0 or self._cancelled:
                        self._twins.interrupt()
                    if wait_s < INTERRUPT_AGAIN_S or self._cancelled:
                        wait_s = INTERRUPT_AGAIN_S
            if select.select([self._requests_fd], [], [], wait_s)[0]:
                return True

    def _take(self, received: bytearray) -> None:
        while len(received) >= frames.LENGTH.size:
            (length,) = frames.LENGTH.unpack_from(received)
            end = frames.LENGTH.size + length
            if length > frames.FRAME_BYTES_MAX:
                raise ValueError(f"a frame of {length} bytes")
            if len(received) < end:
                return
            message = frames.decode_down(received[frames.LENGTH.size : end])
            del received[:end]
            if isinstance(message, frames.Ask):
                with self._lock:
                    self._running, self._cancelled = message.number, False
                    self._deadline_s = monotonic() + self._settings.timeout_s
                self._asked.put(message)
            elif message.number == self._running:
                self._cancelled = True


class Headroom:
    """As much memory again while rows are written out: what ends there for want of it may take the process with it.

    A row that only just fitted has no room beside it for its text, and msgspec's encoder does not survive that.
    """

    def __init__(self, memory_mb: int) -> None:
        self._memory_mb = memory_mb

    def __enter__(self) -> None:
        limit_data(2 * self._memory_mb + BESIDE_MB)

    def __exit__(self, *_: object) -> None:
        limit_data(self._memory_mb + BESIDE_MB)


def limit_data(wanted_mb: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)  # the soft one was the worker's
    wanted = wanted_mb << 20
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def limit_itself(settings: PoolSettings) -> None:
    """Memory above DuckDB's own limit, which does not count everything; and others first."""
    limit_data(settings.memory_mb + BESIDE_MB)
    with contextlib.suppress(PermissionError):
        os.nice(NICE)


def main() -> None:
    settings = msgspec.json.decode(sys.argv[1], type=PoolSettings)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's business alone
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    limit_itself(settings)
    answers_fd = os.dup(1)
    os.dup2(2, 1)  # whatever prints, prints to the log
    try:
        Executor(settings, 0, answers_fd).run()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
