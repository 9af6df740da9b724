"""`sba-local`: the whole platform on one machine."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from sba_local.errors import LocalError

_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_TEN_YEARS = 10 * 366 * 24 * 3600.0


class _Seconds(click.FloatRange):
    """A number of seconds, past or to come, that a date can be made of."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401  # click's own signature
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


class _Group(click.Group):
    """Says what went wrong without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocalError as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Group)
@click.version_option(package_name="sba-local")
def main() -> None:
    """Postgres, Valkey, a Supabase stand-in, the API, its worker and the WebSocket service, no containers.

    For development and tests only.
    """


@main.command()
@click.option(
    "--data-dir",
    type=_DIRECTORY,
    help="Where the stack is kept.  [default: .sba/data, or a throw-away when a command is given]",
)
@click.option(
    "--port-base",
    type=click.IntRange(1024, 65531),
    metavar="N",
    help="API, WebSocket, Supabase, Postgres, Valkey listen on N to N+4.  [default: free ones from 8700]",
)
@click.option("--verbose", is_flag=True, help="Print the services' lines although a command is given.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def up(**options: Any) -> None:  # noqa: ANN401  # what click parsed
    """Start everything and keep it up; Ctrl-C stops it.

    With a COMMAND after --, run it with the stack's addresses in its environment, stop with its status.
    """
    from sba_local.running import Wish, run_up  # noqa: PLC0415  # for a quick --help

    sys.exit(run_up(Wish(**options)))


@main.command()
@click.option("--verbose", is_flag=True, help="Print the services' lines too.")
def demo(**options: Any) -> None:  # noqa: ANN401  # what click parsed
    """Show the main job end to end on a throw-away stack."""
    from sba_local.running import run_demo  # noqa: PLC0415  # for a quick --help

    sys.exit(run_demo(**options))


@main.command()
@click.option("--tenant", required=True, help="Slug or id; an unknown tenant is made, with the user in it.")
@click.option("--user", required=True, help="Name or id; a user who belongs nowhere is added to the tenant.")
@click.option(
    "--role",
    type=click.Choice(["owner", "admin", "member", "viewer"]),
    help="The role the token names.  [default: the user's in the tenant]",
)
@click.option(
    "--ttl",
    type=_Seconds(-_TEN_YEARS, _TEN_YEARS),
    default=3600.0,
    show_default="3600",
    metavar="SECONDS",
    help="Until it expires; a negative number makes an expired one.",
)
@click.option("--no-provision", is_flag=True, help="Only sign; change nothing in the database.")
@click.option(
    "--data-dir",
    envvar="SBA_LOCAL_DATA_DIR",
    type=_DIRECTORY,
    show_envvar=True,
    help="Where the stack is kept.  [default: .sba/data]",
)
def token(*, no_provision: bool, data_dir: Path | None, **wish: Any) -> None:  # noqa: ANN401  # what click parsed
    """Print a token, and nothing else, on standard output."""
    from sba_local.tokens import TokenWish, issue  # noqa: PLC0415  # for a quick --help

    made = issue(TokenWish(provision=not no_provision, **wish), data_dir)
    if made.warning:
        click.echo(f"warning: {made.warning}", err=True)
    click.echo(made.token)


@main.command()
@click.option(
    "--data-dir",
    envvar="SBA_LOCAL_DATA_DIR",
    type=_DIRECTORY,
    show_envvar=True,
    help="Where the stack is kept.  [default: .sba/data]",
)
@click.argument("step", type=click.Choice(["announce", "rotate", "retire"]), required=False)
def keys(*, data_dir: Path | None, step: str | None) -> None:
    """Show the signing keys of a running stack, or change them.

    `announce` publishes the next key, `rotate` signs with it, `retire` stops publishing the one before. Leave
    a refresh of the key set (10 minutes) after the first and the life of a token after the second.
    """
    from sba_local.rotation import signing_keys  # noqa: PLC0415  # for a quick --help

    for kid, status in signing_keys(step, data_dir).items():
        click.echo(f"{kid}  {status}")
