"""What the person at the terminal reads."""

import sys
import threading
from collections.abc import Mapping
from typing import TextIO

import click

_COLOURS = {"api": "cyan", "worker": "magenta", "ws": "green"}
_WIDTH = 6

_WELCOME = """
SBA is up; Ctrl-C stops it. For development only: identity is a stand-in for Supabase Auth.

  API       {api}  (documentation at /docs)
  WebSocket {ws}/socket.io
  Supabase  {supabase}  (stand-in)
  Postgres  {postgres}
  Valkey    {valkey}
  data      {data_dir}  (addresses and secrets in env)

A token for {user} of {tenant}, good for 12 hours; another: sba-local token --tenant {tenant} --user {user}

  export TOKEN={token}

A first run, and what became of it:

  curl -s {api}/v1/runs -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -H "Idempotency-Key: $(date +%s)" \\
    -d '{{"prompt": "How many days do espresso roasts rest before they are packed?"}}'
  curl -s "{api}/v1/runs?limit=1" -H "Authorization: Bearer $TOKEN"
"""


class Prefixed:
    """Prints each line of each service after its name, in colour on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        """Print one line."""
        label = click.style(f"{name:<{_WIDTH}} |", fg=_COLOURS.get(name, "yellow"))
        with self._lock:
            click.echo(f"{label} {line}", file=self._stream)


def silent(_name: str, _line: str) -> None:
    """A listener for those who only want the last words of a service that fails."""


def welcome(environment: Mapping[str, str], *, tenant: str, user: str, token: str) -> str:
    """What `up` prints once everything is ready; passwords stay in the env file."""
    return _WELCOME.format(
        api=environment["SBA_API_URL"],
        ws=environment["SBA_WS_URL"],
        supabase=environment["SUPABASE_URL"],
        postgres=_without_password(environment["SBA_DATABASE_URL"]),
        valkey=_without_password(environment["REDIS_URL"]),
        data_dir=environment["SBA_LOCAL_DATA_DIR"],
        tenant=tenant,
        user=user,
        token=token,
    )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    name = login.partition(":")[0]
    return f"{scheme}://{name}@{place}" if name else f"{scheme}://{place}"
