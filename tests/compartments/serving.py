"""What `havok serve` does, less the console: a supervisor in the foreground of its own process."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from compartments.processes.member import Patience
from compartments.supervisor import Supervisor


async def serve(config: Path, patience: Patience) -> None:
    supervisor = Supervisor(config, [sys.executable, "-c", "raise SystemExit(3)"], patience)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    await supervisor.start()
    await supervisor.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvloop.run(serve(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Patience)))
