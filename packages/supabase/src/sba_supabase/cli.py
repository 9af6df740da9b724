"""The command `sba-supabase`."""

from __future__ import annotations

import asyncio

import click

from sba_supabase import migrate as migrations
from sba_supabase.checks import commands
from sba_supabase.errors import MigrationError


@click.group()
def main() -> None:
    """The Supabase side of the platform."""


@main.command()
@click.option(
    "--database-url",
    envvar="SBA_MIGRATION_DATABASE_URL",
    show_envvar=True,
    required=True,
    help="The migrator's login. Better in the environment: arguments are seen by other users.",
)
def migrate(database_url: str) -> None:
    """Apply the migrations that are missing."""
    try:
        applied = asyncio.run(
            migrations.migrate(database_url, on_progress=lambda title: click.echo(f"applied {title}"))
        )
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    if not applied:
        click.echo("nothing to apply")


main.add_command(commands.scan)
main.add_command(commands.audit)
main.add_command(commands.types)
