"""The `havok` program: its commands, their arguments, and how a failure ends.

Rule: a command here only reads its arguments; the work is imported when it is called, so
that every command starts fast. Expected failures leave as one or two lines on stderr and
exit code 1, wrong usage as 2, Ctrl-C as 130.
"""

import os
import signal
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


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # [services.NAME] is no mark-up
    help="Warehouse tables as guarded, low-latency data APIs.",
)

Config = Annotated[
    Path | None, typer.Option("-c", "--config", help="The configuration; else $HAVOK_CONFIG, else ./havok.toml.")
]
File = Annotated[Path | None, typer.Argument(metavar="havok.toml", help="The configuration.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="The same facts for machines.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Its name in the configuration.")]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Its name in the configuration.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        terminal.say(f"havok {version('havok')}")
        raise typer.Exit


@app.callback()
def havok(
    ctx: typer.Context,
    config: Config = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = config


def _place(ctx: typer.Context, config: Path | None) -> Workplace:
    return Workplace(config_path(config, ctx.obj))


@app.command()
def serve(ctx: typer.Context, file: File = None, config: Config = None) -> None:
    """Run the node in the foreground: SIGTERM or Ctrl-C drains, SIGHUP reloads the configuration."""
    from console.serve import serve

    serve(config_path(file, config, ctx.obj))


@app.command()
def load(
    ctx: typer.Context,
    dataset: Dataset,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="File, glob, directory or SELECT; else the dataset's own.")
    ] = None,
    mode: Annotated[str, typer.Option(help="full, or upsert to merge changed rows.", metavar="full|upsert")] = "full",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build and check, keep nothing.")] = False,
    no_activate: Annotated[bool, typer.Option("--no-activate", help="Keep the version, but do not serve it.")] = False,
    first: Annotated[bool, typer.Option("--first", hidden=True, help="Only if it has no version; the node's.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Build a new version of a dataset and make it live."""
    if mode not in ("full", "upsert"):
        raise typer.BadParameter("is full or upsert", param_hint="--mode")
    from console.load import load

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: the build is removed
    load(
        _place(ctx, config),
        dataset,
        source,
        "upsert" if mode == "upsert" else "full",
        dry_run=dry_run,
        activate=not no_activate,
        as_json=as_json,
        first=first,
    )


@app.command()
def status(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """Compartments, workers, services, datasets and faults of the running node."""
    from console.status import status

    status(_place(ctx, config), as_json=as_json)


@app.command()
def check(ctx: typer.Context, file: File = None, config: Config = None, as_json: Json = False) -> None:
    """Find every fault of a configuration, and compile every plan on the live versions."""
    from console.check import check

    check(config_path(file, config, ctx.obj), as_json=as_json)


@app.command()
def versions(ctx: typer.Context, dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """List a dataset's versions, newest first."""
    from console.versions import versions

    versions(_place(ctx, config), dataset, as_json=as_json)


@app.command()
def rollback(
    ctx: typer.Context,
    dataset: Dataset,
    to: Annotated[
        str | None, typer.Option("--to", metavar="V", help="A version or its end; else the one before.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even to a quarantined version.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an earlier version live again and quarantine the one that was.

    With --to also a newer one that was never live (load --no-activate): that is no way back, and quarantines nothing.
    """
    from console.versions import rollback

    rollback(_place(ctx, config), dataset, to, force=force, as_json=as_json)


@app.command()
def diff(
    ctx: typer.Context,
    dataset: Dataset,
    before: Annotated[str, typer.Argument(metavar="V1", help="A version or its end.")],
    after: Annotated[str, typer.Argument(metavar="V2", help="A version or its end.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare two versions: keys added, removed, changed; columns that drifted."""
    from console.versions import diff

    diff(_place(ctx, config), dataset, before, after, as_json=as_json)


@app.command()
def verify(
    ctx: typer.Context,
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="Else every dataset.")] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="V", help="Else the live one.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read versions whole, against all they say of themselves."""
    from console.versions import verify

    if not verify(_place(ctx, config), dataset, version, as_json=as_json):
        raise typer.Exit(REFUSED)


@app.command()
def plan(
    ctx: typer.Context,
    service: Service,
    code: Annotated[bool, typer.Option("--code", help="Print the generated Python.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Explain a service: access path, cost bound, datasets, guards."""
    from console.plan import plan

    plan(_place(ctx, config), service, code=code, as_json=as_json)


@app.command()
def call(
    ctx: typer.Context,
    service: Service,
    values: Annotated[list[str] | None, typer.Argument(metavar="key=value…", help="The parameters.")] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Where the answer came from, on stderr.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send one request and print the answer."""
    for value in values or []:
        if not value.partition("=")[1] or value.startswith("="):
            raise typer.BadParameter(f"expected key=value, got {value!r}")
    from console.call import call

    call(_place(ctx, config), service, values or [], verbose=verbose, as_json=as_json)


@app.command()
def datasets(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """List the datasets and what is live."""
    from console.listing import datasets

    datasets(_place(ctx, config), as_json=as_json)


services = typer.Typer(
    cls=Program, rich_markup_mode=None, help="List the services; add or remove them on the running node."
)
app.add_typer(services, name="services", invoke_without_command=True)


@services.callback(invoke_without_command=True)
def list_services(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    ctx.obj = config if config is not None else ctx.obj
    if ctx.invoked_subcommand is None:
        from console.listing import services

        services(_place(ctx, None), as_json=as_json)


@services.command("list")
def list_again(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """List the services and how they are."""
    from console.listing import services

    services(_place(ctx, config), as_json=as_json)


@services.command("add")
def add_services(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML of [services.NAME] tables.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Serve more on the running node; it keeps them over restarts."""
    from console.listing import add

    add(_place(ctx, config), file, as_json=as_json)


@services.command("remove")
def remove_service(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service that was added.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take back a service that was added."""
    from console.listing import remove

    remove(_place(ctx, config), name, as_json=as_json)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the project will be.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE…", help="CSV, JSON lines or Parquet; else a sample.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a small working project from tables, their keys guessed."""
    from console.project import init

    init(directory, files or [], as_json=as_json)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
