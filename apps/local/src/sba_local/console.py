"""What the person at the terminal reads."""

import contextlib
import queue
import sys
import threading
from collections.abc import Mapping
from typing import TextIO

import click

_COLOURS = {"api": "cyan", "worker": "magenta", "ws": "green"}
_WIDTH = 6

STACK = "stack"

_WELCOME = """
SBA is up; Ctrl-C stops it. For development only: identity is a stand-in for Supabase Auth.

  API       {api}  (documentation at /docs)
  WebSocket {ws}/socket.io
  Supabase  {supabase}  (stand-in)
  Postgres  {postgres}
  Valkey    {valkey}
  data      {data_dir}  (addresses and secrets in env)
  sign-in   {email} or {other_email}  (SBA_USER_PASSWORD in env)

A token for {user} of {tenant}, good for 12 hours; another: sba-local token --tenant {tenant} --user {user}

  export TOKEN={token}

A first run, and what became of it:

  curl -s {api}/v1/runs -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -H "Idempotency-Key: $(date +%s)" \\
    -d '{{"prompt": "How many days do espresso roasts rest before they are packed?"}}'
  curl -s "{api}/v1/runs?limit=1" -H "Authorization: Bearer $TOKEN"
"""


class Prefixed:
    """Prints each line of each service after its name, in colour on a terminal.

    A thread of its own prints: a reader who does not keep up, or has gone, loses lines and never holds up the
    services.
    """

    def __init__(self, stream: TextIO | None = None, *, most_waiting: int = 2_000) -> None:
        self._stream = stream or sys.stdout
        self._waiting: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._lost = 0
        self._printer = threading.Thread(target=self._print_all, name="console", daemon=True)
        self._printer.start()

    def __call__(self, name: str, line: str) -> None:
        """Print one line, soon."""
        label = click.style(f"{name:<{_WIDTH}} |", fg=_COLOURS.get(name, "yellow"))
        try:
            self._waiting.put_nowait(f"{label} {line}")
        except queue.Full:
            self._lost += 1

    def close(self, *, seconds: float = 1.0) -> None:
        """Print what waits, for at most that long."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
            self._printer.join(seconds)

    def _print_all(self) -> None:
        while (text := self._waiting.get()) is not None:
            lost, self._lost = self._lost, 0
            try:
                if lost:
                    click.echo(f"({lost} lines were not read in time)", file=self._stream)
                click.echo(text, file=self._stream)
            except (OSError, ValueError):  # nobody reads any more
                return


class Quiet:
    """Prints what the stack says about itself and leaves out the services' lines."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._print = Prefixed(stream or sys.stderr)

    def __call__(self, name: str, line: str) -> None:
        """Print one line if it is the stack's own."""
        if name == STACK:
            self._print(name, line)

    def close(self) -> None:
        """Print what waits, for a moment at most."""
        self._print.close()


def welcome(environment: Mapping[str, str], *, tenant: str, user: str, token: str) -> str:
    """What `up` prints once everything is ready; passwords stay in the env file."""
    return _WELCOME.format(
        api=environment["SBA_API_URL"],
        ws=environment["SBA_WS_URL"],
        supabase=environment["SUPABASE_URL"],
        postgres=_without_password(environment["SBA_DATABASE_URL"]),
        valkey=_without_password(environment["REDIS_URL"]),
        data_dir=environment["SBA_LOCAL_DATA_DIR"],
        email=environment["SBA_EMAIL_A"],
        other_email=environment["SBA_EMAIL_B"],
        tenant=tenant,
        user=user,
        token=token,
    )


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    name = login.partition(":")[0]
    return f"{scheme}://{name}@{place}" if name else f"{scheme}://{place}"
