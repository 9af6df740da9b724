"""The command line: `sba-api serve`, `sba-api worker`, `sba-api migrate`."""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

import click
from pydantic_settings import BaseSettings

from sba_supabase.errors import SettingsError
from sba_supabase.settings import load_settings

_BAD_SETTINGS = 2
S = TypeVar("S", bound=BaseSettings)


@click.group()
def main() -> None:
    """SBA's HTTP API and worker, configured by the environment alone."""


@main.command()
def serve() -> None:
    """Answer HTTP until SIGTERM or SIGINT."""
    from sba_api.settings import ApiSettings  # noqa: PLC0415 - each command imports only what it runs

    settings = _load(ApiSettings)
    from sba_api import serve as server  # noqa: PLC0415 - the framework is imported once settings are right

    server.serve(settings)


@main.command()
def worker() -> None:
    """Execute queued runs until SIGTERM or SIGINT."""
    from sba_api.settings import WorkerSettings  # noqa: PLC0415 - each command imports only what it runs

    settings = _load(WorkerSettings)
    from sba_api import worker as runner  # noqa: PLC0415 - the queue is imported only where it is worked

    runner.work(settings)


@main.command()
def migrate() -> None:
    """Install the queue's schema with the migration login."""
    from sba_api.settings import MigrateSettings  # noqa: PLC0415 - each command imports only what it runs

    settings = _load(MigrateSettings)
    from sba_agents import jobs  # noqa: PLC0415 - the queue is imported only where it is installed

    asyncio.run(jobs.install(settings.migration_database_url.get_secret_value()))
    click.echo("the queue's schema is installed")


def _load(kind: type[S]) -> S:
    try:
        return load_settings(kind)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(_BAD_SETTINGS)
