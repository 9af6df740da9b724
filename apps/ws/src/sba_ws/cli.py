"""The command line: `sba-ws serve`."""

from __future__ import annotations

import sys

import click

from sba_supabase import SettingsError, load_settings

_BAD_SETTINGS = 2


@click.group()
def main() -> None:
    """SBA's realtime service, configured by the environment alone."""


@main.command()
def serve() -> None:
    """Serve run events over Socket.IO until SIGTERM or SIGINT."""
    from sba_ws.settings import WsSettings  # noqa: PLC0415 - wrong settings are told before anything is imported

    try:
        settings = load_settings(WsSettings)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(_BAD_SETTINGS)
    from sba_ws import serve as server  # noqa: PLC0415 - the framework is imported once settings are right

    server.serve(settings)
