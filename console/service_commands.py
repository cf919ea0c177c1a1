"""`havok services …`: its commands and their arguments.

Rule: as `console.main`.
"""

from pathlib import Path
from typing import Annotated

import typer

from console.arguments import Config, Json, Program, place

services = typer.Typer(
    cls=Program, rich_markup_mode=None, help="List the services; add or remove them on the running node."
)


@services.callback(invoke_without_command=True)
def list_services(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    ctx.obj = config if config is not None else ctx.obj
    if ctx.invoked_subcommand is None:
        from console.listing import services

        services(place(ctx, None), as_json=as_json)


@services.command("list")
def list_again(ctx: typer.Context, config: Config = None, as_json: Json = False) -> None:
    """List the services and how they are."""
    from console.listing import services

    services(place(ctx, config), as_json=as_json)


@services.command("add")
def add_services(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML of [services.NAME] tables.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Serve more on the running node; it keeps them over restarts."""
    from console.listing import add

    add(place(ctx, config), file, as_json=as_json)


@services.command("remove")
def remove_service(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A service that was added.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Take back a service that was added."""
    from console.listing import remove

    remove(place(ctx, config), name, as_json=as_json)
