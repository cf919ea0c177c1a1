"""Whether the code that is installed now would serve a configuration, asked before it is in charge.

Rule: everything that the processes of a node import is imported, and the configuration is
checked with it. Nothing is started, nothing is changed.
"""

import importlib
import sys
from pathlib import Path

from console.check import check

PROCESSES = (
    "console.serve",
    "console.admin",
    "console.greeting",
    "console.load",
    "compartments.gate",
    "compartments.worker",
    "compartments.queries.executor",
)


def preflight(config: Path) -> None:
    """Raises whatever an import raises, ConfigError."""
    for module in PROCESSES:
        importlib.import_module(module)
    sys.stdout.flush()
    check(config, as_json=False)
