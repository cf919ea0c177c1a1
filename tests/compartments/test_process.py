"""What every process does at its start."""

import asyncio
import signal
import threading
from pathlib import Path

import msgspec

from compartments.process import GateSettings, WorkerSettings, start_loop


def test_settings_survive_their_journey_as_one_argument() -> None:
    worker = WorkerSettings("one-1", "one", "/d ä\n", "/d/i.sock", 1.5)
    assert msgspec.json.decode(msgspec.json.encode(worker), type=WorkerSettings) == worker
    gate = GateSettings("gate-2", "/d", 5, 1.5)
    assert msgspec.json.decode(msgspec.json.encode(gate), type=GateSettings) == gate
    assert gate.data_path == Path("/d")


def test_sigterm_drains_and_ctrl_c_is_not_ours() -> None:
    told: list[int] = []

    def drain() -> None:
        told.append(1)
        loop.stop()

    before = signal.getsignal(signal.SIGINT)
    loop = start_loop(drain)
    try:
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # before the loop runs; there may be other threads
        loop.call_later(5, loop.stop)
        loop.run_forever()
        assert told == [1]
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
        asyncio.set_event_loop(None)
