"""The `havok` program: its commands, their arguments, and how a failure ends.

Rule: a command here only reads its arguments; the work is imported when it is called, so
that every command starts fast. Expected failures leave as one or two lines on stderr and
exit code 1, wrong usage as 2, Ctrl-C as 130.
"""

import signal
from pathlib import Path
from typing import Annotated

import typer

from console import terminal
from console.arguments import REFUSED, Config, Dataset, File, Json, Program, Service, place
from console.service_commands import services
from console.workplace import config_path

app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # [services.NAME] is no mark-up
    help="Warehouse tables as guarded, low-latency data APIs.",
)


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
        place(ctx, config),
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

    status(place(ctx, config), as_json=as_json)


@app.command()
def restart(
    ctx: typer.Context,
    rolling: Annotated[bool, typer.Option("--rolling", help="One process after another; there is no other way.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Replace the running node's workers and gate one after another; no request fails."""
    from console.operating import restart

    if not rolling:
        raise typer.BadParameter("a node is restarted --rolling, or stopped and started", param_hint="--rolling")
    restart(place(ctx, config), as_json=as_json)


@app.command()
def upgrade(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """Have the running node run the Havok that is installed now; no request fails."""
    from console.operating import upgrade

    upgrade(place(ctx, config), as_json=as_json)


@app.command(hidden=True)
def preflight(file: Path) -> None:
    """What an upgrade asks of the installed code first."""
    from console.preflight import preflight

    preflight(file)


@app.command()
def scale(
    ctx: typer.Context,
    compartment: Annotated[str, typer.Argument(metavar="COMPARTMENT", help="Its name in the configuration.")],
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="How many it has at least.")] = None,
    low: Annotated[float | None, typer.Option("--low", metavar="X", help="Below this load it lends.")] = None,
    high: Annotated[float | None, typer.Option("--high", metavar="Y", help="Above this load it asks for more.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="As configured again.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Change a compartment of the running node, which remembers it; without options, what holds."""
    from console.operating import scale
    from havok.messages import ScaleRequest

    scale(place(ctx, config), ScaleRequest(compartment, workers, low, high, reset), as_json=as_json)


@app.command()
def check(ctx: typer.Context, file: File = None, config: Config = None, as_json: Json = False) -> None:
    """Find every fault of a configuration, and compile every plan on the live versions."""
    from console.check import check

    check(config_path(file, config, ctx.obj), as_json=as_json)


@app.command()
def versions(ctx: typer.Context, dataset: Dataset, config: Config = None, as_json: Json = False) -> None:
    """List a dataset's versions, newest first."""
    from console.versions import versions

    versions(place(ctx, config), dataset, as_json=as_json)


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

    rollback(place(ctx, config), dataset, to, force=force, as_json=as_json)


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

    diff(place(ctx, config), dataset, before, after, as_json=as_json)


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

    if not verify(place(ctx, config), dataset, version, as_json=as_json):
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

    plan(place(ctx, config), service, code=code, as_json=as_json)


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

    call(place(ctx, config), service, values or [], verbose=verbose, as_json=as_json)


@app.command()
def datasets(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """List the datasets and what is live."""
    from console.listing import datasets

    datasets(place(ctx, config), as_json=as_json)


app.add_typer(services, name="services", invoke_without_command=True)


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
