"""`sba-db`: bootstrap, migrate and status from the command line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click

from sba_db import bootstrap as bootstrapping
from sba_db import migrate as migrating
from sba_db.errors import DatabaseError

T = TypeVar("T")

_MIGRATION_URL = click.option(
    "--url", envvar="SBA_MIGRATION_DATABASE_URL", required=True, help="DSN of sba_migrator.", show_envvar=True
)


@click.group()
def main() -> None:
    """The internal tables of SBA."""


@main.command()
@click.option("--admin-url", envvar="SBA_ADMIN_DATABASE_URL", required=True, help="DSN of a superuser.")
@click.option("--database", required=True, help="Name of the database to make or complete.")
@click.option("--migrator-password", envvar="SBA_MIGRATOR_PASSWORD", required=True)
@click.option("--app-password", envvar="SBA_APP_PASSWORD", required=True)
@click.option("--worker-password", envvar="SBA_WORKER_PASSWORD", required=True)
def bootstrap(
    admin_url: str, database: str, migrator_password: str, app_password: str, worker_password: str
) -> None:
    """Make roles, the database and its extensions."""
    passwords = bootstrapping.RolePasswords(migrator_password, app_password, worker_password)
    _run(bootstrapping.bootstrap(admin_url, database=database, passwords=passwords))
    click.echo(f"{database}: ready for sba-db migrate")


@main.command()
@_MIGRATION_URL
def migrate(url: str) -> None:
    """Apply what is pending."""
    applied = _run(migrating.migrate(url, lambda name: click.echo(f"applying {name}")))
    click.echo(f"{len(applied)} applied" if applied else "nothing to apply")


@main.command()
@_MIGRATION_URL
def status(url: str) -> None:
    """List migrations; exit 1 unless all are applied and none was edited."""
    listed = _run(migrating.status(url))
    for one in listed:
        click.echo(f"{one.state:<10} {one.name}")
    settled = {migrating.MigrationState.APPLIED, migrating.MigrationState.UNKNOWN}
    sys.exit(any(one.state not in settled for one in listed))


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except DatabaseError as error:
        raise click.ClickException(str(error)) from None
