"""What the commands have in common: their arguments, and how a failure ends.

Rule: expected failures leave as one or two lines on stderr and exit code 1, wrong usage as 2,
Ctrl-C as 130.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from console import terminal
from console.workplace import Workplace, config_path
from havok.errors import HavokError

REFUSED = 1
INTERRUPTED = 130


class Program(TyperGroup):
    """Turns every expected failure of a command into its sentence and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HavokError as error:
            terminal.refuse(error)
            raise SystemExit(REFUSED) from None
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `havok … | head`
            raise SystemExit(REFUSED) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            terminal.note(f"error: {where}{error.strerror or error}")
            raise SystemExit(REFUSED) from None


Config = Annotated[
    Path | None, typer.Option("-c", "--config", help="The configuration; else $HAVOK_CONFIG, else ./havok.toml.")
]
File = Annotated[Path | None, typer.Argument(metavar="havok.toml", help="The configuration.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="The same facts for machines.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Its name in the configuration.")]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the configuration.")]


def place(ctx: typer.Context, config: Path | None) -> Workplace:
    return Workplace(config_path(config, ctx.obj))
